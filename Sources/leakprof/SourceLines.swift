internal import Glibc
internal import LeakprofReport

/// Lines of source files, found below directories the user named.
///
/// Only files that debug information names are read, and only if they lie below a directory, wherever links lead.
struct SourceLines: Sendable {
    let directories: [String]

    /// No file has as many lines.
    private static let lineLimit: Int64 = 1 << 32

    /// Lines shown before and after the one that is meant.
    private static let context: Int64 = 4

    /// The line without its indentation; `nil` when there is no such file or line.
    func line(_ number: Int64, of file: String) -> String? {
        let lines = lines(number...number, of: file)
        return lines.first.map { String($0.text.drop { $0 == " " || $0 == "\t" }) }
    }

    /// The line and those around it; `nil` when there is no such file or line.
    func excerpt(around number: Int64, of file: String) -> GrowthStory.Excerpt? {
        guard number > 0, number < Self.lineLimit else { return nil }
        let lines = lines(max(1, number - Self.context)...(number + Self.context), of: file)
        guard lines.contains(where: { $0.number == number }) else { return nil }
        return GrowthStory.Excerpt(place: "\(file):\(number)", lines: lines, line: number)
    }

    /// The file's lines with these numbers, as far as there are any.
    ///
    /// A recorded path is tried whole below each directory, then without its first component, and so on:
    /// `/build/app/src/a.c` is found as `src/a.c` in a checkout.
    private func lines(
        _ numbers: ClosedRange<Int64>, of file: String
    ) -> [(number: Int64, text: String)] {
        // As bytes: in a String, a slash with an accent is another character, but not for the kernel.
        let components = file.utf8.split(separator: UInt8(ascii: "/"))
        guard numbers.lowerBound > 0, !components.contains(where: { $0.elementsEqual("..".utf8) })
        else { return [] }
        for directory in directories {
            guard let root = Self.resolved(directory) else { continue }
            for start in components.indices {
                let rest = components[start...].joined(separator: "/".utf8)
                let path = root + "/" + String(decoding: Array(rest), as: UTF8.self)
                guard let file = Self.resolved(path), file.utf8.starts(with: (root + "/").utf8)
                else { continue }
                let lines = Self.read(numbers, of: file)
                if !lines.isEmpty { return lines }
            }
        }
        return []
    }

    /// The path without links; `nil` when there is nothing at it.
    private static func resolved(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        let text = String(cString: resolved)
        return text == "/" ? "" : text
    }

    private static func read(
        _ numbers: ClosedRange<Int64>, of path: String
    ) -> [(number: Int64, text: String)] {
        // A pipe would keep us waiting.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        var status = stat()
        guard descriptor >= 0, fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
            let file = fdopen(descriptor, "r")
        else {
            if descriptor >= 0 { close(descriptor) }
            return []
        }
        defer { fclose(file) }
        var buffer: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(buffer) }
        var lines: [(number: Int64, text: String)] = []
        for number in 1...numbers.upperBound {
            guard getline(&buffer, &capacity, file) >= 0, let buffer else { break }
            guard number >= numbers.lowerBound else { continue }
            lines.append(
                (number, String(String(cString: buffer).prefix(200).prefix { !$0.isNewline })))
        }
        return lines
    }
}
