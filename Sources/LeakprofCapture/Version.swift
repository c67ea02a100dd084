internal import CLeakprofLayout

/// Name and version of this program; the shim has the same from the same place.
package enum Leakprof {
    package static let version = LEAKPROF_VERSION
}
