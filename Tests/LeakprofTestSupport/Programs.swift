internal import Glibc
internal import Subprocess
internal import SystemPackage

/// How a program ended and what it wrote.
package struct Finished: Sendable, Equatable {
    /// The exit status, or 128 plus the signal that ended it.
    package var status: Int32
    package var output: String
    package var errors: String

    package init(status: Int32, output: String, errors: String) {
        self.status = status
        self.output = output
        self.errors = errors
    }
}

/// A program that is running, with pipes to it.
///
/// Valid only within the closure that ``Programs/with(_:_:environment:directory:body:)`` calls.
package final class RunningProgram {
    package let pid: Int32
    private var lines: SubprocessOutputSequence.StringSequence<UTF8>.AsyncIterator
    private let writer: StandardInputWriter

    init(pid: Int32, output: SubprocessOutputSequence, input: StandardInputWriter) {
        self.pid = pid
        lines = output.strings().makeAsyncIterator()
        writer = input
    }

    /// The next line of its output, without the line break.
    package func line() async throws -> String {
        guard let line = try await lines.next() else {
            throw TestFailure("process \(pid) ended its output")
        }
        return line.trimmingLineBreak
    }

    /// Reads lines up to and including one that starts with `prefix`, which is returned.
    @discardableResult
    package func line(startingWith prefix: String) async throws -> String {
        while true {
            let next = try await line()
            if next.hasPrefix(prefix) { return next }
        }
    }

    package func send(_ text: String) async throws { _ = try await writer.write(text) }

    package func closeInput() async throws { try await writer.finish() }

    package func signal(_ number: Int32) { kill(pid, number) }
}

extension String {
    fileprivate var trimmingLineBreak: String {
        var text = self
        while let last = text.last, last.isNewline { text.removeLast() }
        return text
    }
}

/// Runs programs.
package enum Programs {
    /// More output than any test wants.
    private static let outputLimit = 64 << 20

    /// Runs a program to its end.
    ///
    /// `environment` is on top of this process's own; `nil` removes a variable.
    package static func run(
        _ program: String, _ arguments: [String] = [], environment: [String: String?] = [:],
        directory: String? = nil, input: String = ""
    ) async throws -> Finished {
        let configuration = configuration(program, arguments, environment, directory)
        // From a file: writing to a program that ended without reading would be SIGPIPE for the tests.
        let folder = try TemporaryDirectory(in: "/tmp")
        let path = folder.path + "/input"
        try Files.write(Array(input.utf8), to: path)
        let file = try FileDescriptor.open(FilePath(path), .readOnly, options: [.closeOnExec])
        let result = try await Subprocess.run(
            configuration, input: .fileDescriptor(file, closeAfterSpawningProcess: true),
            output: .string(limit: outputLimit), error: .string(limit: outputLimit))
        return Finished(
            status: status(result.terminationStatus), output: result.standardOutput,
            errors: result.standardError)
    }

    /// Starts a program and calls `body` while it runs.
    ///
    /// Afterwards its input is closed and it is waited for; if `body` throws, it is killed first.
    package static func with<Result: Sendable>(
        _ program: String, _ arguments: [String] = [], environment: [String: String?] = [:],
        directory: String? = nil, body: (RunningProgram) async throws -> Result
    ) async throws -> (result: Result, status: Int32) {
        let outcome = try await Subprocess.run(
            configuration(program, arguments, environment, directory), input: .inputWriter,
            output: .sequence, error: .discarded
        ) { execution in
            let running = RunningProgram(
                pid: execution.processIdentifier.value, output: execution.standardOutput,
                input: execution.standardInputWriter)
            do {
                let result = try await body(running)
                try? await running.closeInput()
                return result
            } catch {
                running.signal(SIGKILL)
                throw error
            }
        }
        return (outcome.closureResult, status(outcome.terminationStatus))
    }

    /// Runs a program that has to succeed, and returns its output.
    @discardableResult
    package static func succeed(
        _ program: String, _ arguments: [String] = [], environment: [String: String?] = [:],
        directory: String? = nil
    ) async throws -> String {
        let finished = try await run(
            program, arguments, environment: environment, directory: directory)
        guard finished.status == 0 else {
            throw TestFailure(
                "\(program) \(arguments.joined(separator: " ")): status \(finished.status)\n"
                    + finished.errors + finished.output)
        }
        return finished.output
    }

    private static func configuration(
        _ program: String, _ arguments: [String], _ environment: [String: String?],
        _ directory: String?
    ) -> Configuration {
        var changes: [Environment.Key: String?] = [:]
        for (name, value) in environment {
            changes.updateValue(value, forKey: Environment.Key(stringLiteral: name))
        }
        return Configuration(
            executable: program.contains("/") ? .path(FilePath(program)) : .name(program),
            arguments: Arguments(arguments), environment: .inherit.updating(changes),
            workingDirectory: directory.map { FilePath($0) })
    }

    private static func status(_ status: TerminationStatus) -> Int32 {
        switch status {
        case .exited(let code): code
        case .signaled(let signal): 128 + signal
        }
    }
}
