internal import CDemanglers
internal import Glibc

/// Makes linker names readable.
package enum Demangler {
    /// Names longer than this are left as they are: what demangles to megabytes is no help.
    static let lengthLimit = 4096

    /// Names whose readable form would have more bytes are left as they are.
    static let resultLimit = 65536

    /// The readable form of `name`, or `name` itself when it is not mangled.
    ///
    /// Knows Swift (its runtime's own demangler), Rust v0 and legacy, and C++ as the Itanium ABI mangles it
    /// (libiberty). Suffixes that compilers append to clones, such as `.cold`, are kept.
    package static func demangle(_ name: String) -> String {
        guard name.utf8.count <= lengthLimit else { return name }
        if SwiftName.isSwift(name) {
            guard SwiftName.isShort(name) else { return name }
            return take(swift_demangle(name, name.utf8.count, nil, nil, 0)) ?? name
        }
        // Legacy Rust looks like C++, so Rust is asked first: it knows its own by the hash at the end.
        if name.hasPrefix("_R") || name.hasPrefix("_ZN"),
            let rust = take(leakprof_demangle_rust(name, resultLimit))
        {
            return rust
        }
        if name.hasPrefix("_Z") { return take(leakprof_demangle_cpp(name, resultLimit)) ?? name }
        return name
    }

    /// Copies and frees a string from C.
    private static func take(_ text: UnsafeMutablePointer<CChar>?) -> String? {
        guard let text else { return nil }
        defer { free(text) }
        return String(cString: text)
    }
}
