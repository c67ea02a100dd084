internal import Glibc
internal import LeakprofModel

/// Finds libleakshim.so.
enum ShimLocator {
    static let fileName = "libleakshim.so"

    /// Next to this program, in ../lib as installed, or where LEAKPROF_SHIM says; as an absolute path.
    static func locate() throws -> String {
        var candidates: [String] = []
        if let chosen = Console.environment("LEAKPROF_SHIM") { candidates.append(chosen) }
        let directory = programDirectory()
        candidates += ["\(directory)/\(fileName)", "\(directory)/../lib/\(fileName)"]
        for candidate in candidates {
            guard let path = realpath(candidate, nil) else { continue }
            defer { free(path) }
            return try checked(String(cString: path))
        }
        throw Failure(
            "\(fileName) is not next to leakprof, nor in ../lib",
            try: "LEAKPROF_SHIM=/path/to/\(fileName) leakprof …")
    }

    /// ld.so splits LD_PRELOAD at spaces and colons and has no way to quote them.
    private static func checked(_ path: String) throws -> String {
        guard !path.contains(where: { $0 == " " || $0 == ":" }) else {
            throw Failure(
                "\(path) has a space or a colon in it, which LD_PRELOAD can't carry",
                try: "install leakprof elsewhere, or LEAKPROF_SHIM=/a/plain/path/\(fileName)")
        }
        return path
    }

    private static func programDirectory() -> String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        guard length > 0 else { return "." }
        let path = String(decoding: buffer[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return String(path.dropLast(path.lastPathComponent.count + 1))
    }
}
