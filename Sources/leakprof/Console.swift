internal import ArgumentParser
internal import Glibc
internal import LeakprofCapture
internal import LeakprofReport

/// What the user sees: results go to stdout, progress and diagnostics to stderr.
enum Console {
    /// Ends the process when stdout can't take them: a result that is not there is a failure.
    static func result(_ lines: [String]) {
        let text = lines.map { Sanitized.line(Credentials.hidden(in: $0)) + "\n" }.joined()
        do {
            try OutputFile.write(Array(text.utf8), to: "-")
        } catch {
            write("Error: \(error)\n")
            exit(EXIT_FAILURE)
        }
    }

    static func say(_ line: String) {
        write(Sanitized.line(Credentials.hidden(in: line)) + "\n")
    }

    /// Writes to stderr; if that can't be written, there is nowhere to say so.
    static func write(_ text: String) {
        var rest = Substring(text).utf8
        while !rest.isEmpty {
            let bytes = Array(rest)
            let written = Glibc.write(STDERR_FILENO, bytes, bytes.count)
            guard written > 0 else { return }
            rest = rest.dropFirst(written)
        }
    }

    /// A hint at the next useful command.
    static func next(_ hint: String) { say("next: " + hint) }

    /// Whether stderr is a terminal that may be drawn on.
    static var isInteractive: Bool { isatty(STDERR_FILENO) != 0 }

    static func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
}

/// What the user put into a URL and nobody else is to see: messages are kept in logs.
enum Credentials {
    /// The text without the user and the password of any URL in it.
    static func hidden(in text: String) -> String {
        let bytes = Array(text.utf8)
        let mark = Array("://".utf8)
        var result: [UInt8] = []
        var position = 0
        while position < bytes.count {
            guard bytes[position...].starts(with: mark) else {
                result.append(bytes[position])
                position += 1
                continue
            }
            let host = bytes[(position + mark.count)...].prefix { !"/?# '".utf8.contains($0) }
            result += mark
            position = host.lastIndex(of: UInt8(ascii: "@")).map { $0 + 1 } ?? host.startIndex
        }
        return String(decoding: result, as: UTF8.self)
    }
}

/// An operation that failed, as the user reads it: what happened, on what, why, and what to try.
struct Failure: Error, CustomStringConvertible {
    let description: String

    /// Both may have names in them that are the target's, or of a file.
    init(_ what: String, try advice: String) {
        let (what, advice) = (Credentials.hidden(in: what), Credentials.hidden(in: advice))
        description = "\(Sanitized.line(what))\n       try: \(Sanitized.line(advice))"
    }

    /// What a system call that just failed left in errno.
    static func system(_ what: String) -> Failure {
        let reason = String(cString: strerror(errno))
        return Failure("can't \(what): \(reason)", try: "leakprof doctor")
    }
}

extension Failure {
    init(_ error: CaptureError) { self.init(error.description, try: error.advice) }
}

/// A line on the terminal for work that takes longer than a second; nothing when there is no terminal.
struct Progress {
    private let title: String
    private let started: Double
    private var isShown = false

    init(_ title: String) {
        self.title = title
        started = Self.now()
    }

    private static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// - Parameter part: From 0 to 1.
    mutating func update(_ part: Double) {
        guard Console.isInteractive, Self.now() - started > 1 else { return }
        isShown = true
        Console.write("\r\(title) \(Int(part * 100)) %")
    }

    func finish() {
        if isShown { Console.write("\r\u{1b}[K") }
    }
}
