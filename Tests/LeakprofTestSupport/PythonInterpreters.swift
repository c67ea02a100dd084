internal import Glibc

/// A CPython that is installed here.
package struct PythonInterpreter: Sendable, CustomStringConvertible {
    package let path: String
    /// Such as `3.11.2`.
    package let version: String
    /// The 11 of 3.11.
    package let minor: Int

    package var description: String { "\(version) (\(path))" }

    /// Debian's python3, which has to be there, and those of pyenv from 3.8 on; by version.
    ///
    /// Prints which they are, once: a run says what it has tested.
    package static let all: [PythonInterpreter] = {
        let home = getenv("HOME").map { String(cString: $0) } ?? ""
        let versions =
            (getenv("PYENV_ROOT").map { String(cString: $0) } ?? home + "/.pyenv") + "/versions"
        let paths = Files.names(in: versions).map { "\(versions)/\($0)/bin/python3" }
        let found = (["/usr/bin/python3"] + paths.filter(Files.exists))
            .compactMap(PythonInterpreter.init).filter { $0.minor >= 8 }
            .sorted { ($0.minor, $0.version, $0.path) < ($1.minor, $1.version, $1.path) }
        print("Pythons found: \(found.map(\.description).joined(separator: ", "))")
        return found
    }()

    /// Asks the program; `nil` if it is no CPython 3.
    private init?(path: String) {
        // Not by the folder's name: a virtual environment of pyenv has any.
        let question =
            "'\(path)' -E -c 'import sys; print(sys.implementation.name, *sys.version_info[:3])'"
        guard let answer = popen("\(question) 2>/dev/null", "re") else { return nil }
        var line = [CChar](repeating: 0, count: 100)
        let isAnswered = fgets(&line, Int32(line.count), answer) != nil
        guard pclose(answer) == 0, isAnswered else { return nil }
        let bytes = line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        let words = String(decoding: bytes, as: UTF8.self).split { $0 == " " || $0 == "\n" }
        guard words.count == 4, words[0] == "cpython", words[1] == "3", let minor = Int(words[2])
        else { return nil }
        self.path = path
        version = words[1...].joined(separator: ".")
        self.minor = minor
    }
}
