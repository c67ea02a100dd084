internal import Glibc

/// Lines of source files, found below directories the user named.
struct SourceLines: Sendable {
    let directories: [String]

    /// The line without its indentation; `nil` when there is no such file or line.
    ///
    /// A recorded path is tried whole below each directory, then without its first component, and so on:
    /// `/build/app/src/a.c` is found as `src/a.c` in a checkout.
    func line(_ number: Int64, of file: String) -> String? {
        // As bytes: in a String, a slash with an accent is another character, but not for the kernel.
        let components = file.utf8.split(separator: UInt8(ascii: "/"))
        guard number > 0, !components.contains(where: { $0.elementsEqual("..".utf8) }) else {
            return nil
        }
        for directory in directories {
            for start in components.indices {
                let rest = components[start...].joined(separator: "/".utf8)
                let path = directory + "/" + String(decoding: Array(rest), as: UTF8.self)
                if let line = Self.read(number, of: path) { return line }
            }
        }
        return nil
    }

    private static func read(_ number: Int64, of path: String) -> String? {
        guard let file = fopen(path, "re") else { return nil }
        defer { fclose(file) }
        var buffer: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(buffer) }
        for _ in 1..<number where getline(&buffer, &capacity, file) < 0 { return nil }
        guard getline(&buffer, &capacity, file) >= 0, let buffer else { return nil }
        let line = String(cString: buffer).drop { $0 == " " || $0 == "\t" }
        return String(line.prefix(200).prefix { !$0.isNewline })
    }
}
