/// Why bytes could not be read as a heap profile, or written as one.
package enum ProfileError: Error, Equatable, CustomStringConvertible {
    /// gzip data that can't be unpacked, and why.
    case compression(String)
    /// Not a profile at all.
    case unrecognized
    /// A profile with a reference that leads nowhere, or two things of one name; and which.
    case inconsistent(String)
    /// A valid profile of something else; its sample types as `type/unit`.
    case notAHeapProfile(sampleTypes: [String])
    /// A valid profile that leakprof did not write of goroutines.
    case noGoroutines

    package var description: String {
        switch self {
        case .compression(let reason): "it can't be unpacked: \(reason)"
        case .unrecognized:
            "it is neither a pprof profile nor a recording region, nor another tool's heap profile"
        case .inconsistent(let what): "the profile is damaged: \(what)"
        case .noGoroutines: "it holds no goroutines that leakprof wrote down"
        case .notAHeapProfile(let types):
            "it is a profile, but not of a heap: it holds \(types.joined(separator: ", "))"
        }
    }
}
