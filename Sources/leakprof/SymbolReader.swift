internal import CLinux
internal import Glibc
internal import LeakprofModel
internal import LeakprofPprof
internal import LeakprofSymbols

/// Looks up the frames of a snapshot in a process of its own.
///
/// Programs and debug information come from the target, and the libraries that read them were not made for
/// hostile ones: what they do to that process (``SymbolizeCommand``) costs the names of one file. It has the
/// rights of the target's user and no more.
struct SymbolReader {
    /// The running target, in this process's pid namespace.
    let pid: Int32?
    /// Whose the target is; `nil` when that is not known.
    let owner: (user: UInt32, group: UInt32)?
    let debugDirectories: [String]
    /// Whether files are taken at their paths' word where there is no build ID to tell them by.
    let trustsPaths: Bool
    /// Whether servers may be asked, which takes as long as it takes.
    let asksServers: Bool

    /// How many files may end the process that reads them, and how many of them by keeping it busy.
    private static let attempts = 8
    private static let timeouts = 2

    /// More notes than anybody reads.
    private static let notesLimit = 100

    /// Fills in all frames; what can't be looked up has its file and offset, and a note says why.
    func symbolize(_ snapshot: inout Snapshot) {
        /// By mapping.
        var failures: [Int: String] = [:]
        while failures.count < Self.attempts,
            failures.values.count(where: { $0 == Self.tookTooLong }) < Self.timeouts
        {
            switch attempt(snapshot, without: failures) {
            case .symbolized(let reply, let locations):
                merge(reply, at: locations, into: &snapshot)
                finish(&snapshot, failures)
                return
            case .failed(let mapping?, let reason) where failures[mapping] == nil:
                failures[mapping] = reason
            case .failed(_, let reason):
                snapshot.facts.notes.append("no symbols: " + reason)
                finish(&snapshot, failures)
                return
            }
        }
        snapshot.facts.notes.append("no symbols: too many files could not be read")
        finish(&snapshot, failures)
    }

    private enum Outcome {
        /// The profile that came back, and which locations of the snapshot are in it.
        case symbolized(Snapshot, locations: [Int])
        /// Why there is none, and which mapping was being read if that is known.
        case failed(mapping: Int?, reason: String)
    }

    private func attempt(_ snapshot: Snapshot, without failures: [Int: String]) -> Outcome {
        let locations = snapshot.locations.indices.filter { index in
            let location = snapshot.locations[index]
            return location.frames.isEmpty
                && location.mapping.map { failures[$0] == nil } ?? true
        }
        let request = Snapshot(
            mappings: snapshot.mappings, locations: locations.map { snapshot.locations[$0] })
        do {
            let input = try memoryFile()
            defer { close(input) }
            let output = try memoryFile()
            defer { close(output) }
            try OutputFile.write(
                try ProfileEncoder.encode(request, tool: ""), toEndOf: input)
            let status = try run(input: input, output: output)
            guard status == 0 else {
                return .failed(mapping: mapping(in: output, of: snapshot), reason: words(status))
            }
            let reply = try ProfileDecoder.decode(try ResultFile.bytes(of: output, from: 8))
            guard reply.mappings.count == request.mappings.count,
                reply.locations.count == request.locations.count
            else { return .failed(mapping: nil, reason: "what reads them gave no answer") }
            return .symbolized(reply, locations: locations)
        } catch {
            return .failed(mapping: nil, reason: "\(error)")
        }
    }

    private func memoryFile() throws -> Int32 {
        let descriptor = leakprof_empty_memory_file()
        guard descriptor >= 0 else { throw Failure.system("make a file in memory") }
        return descriptor
    }

    /// What the process was reading when it ended.
    private func mapping(in output: Int32, of snapshot: Snapshot) -> Int? {
        var index: Int64 = -1
        let got = withUnsafeMutableBytes(of: &index) { pread(output, $0.baseAddress, $0.count, 0) }
        guard got == MemoryLayout<Int64>.size, let mapping = Int(exactly: index),
            snapshot.mappings.indices.contains(mapping)
        else { return nil }
        return mapping
    }

    /// Runs the command to its end and returns the status that waitpid(2) gives.
    private func run(input: Int32, output: Int32) throws -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO)
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        var arguments = ["leakprof", "symbolize"]
        if let pid { arguments += ["--pid", "\(pid)"] }
        if let owner { arguments += ["--user", "\(owner.user)", "--group", "\(owner.group)"] }
        for directory in debugDirectories { arguments += ["--debug-dir", directory] }
        if trustsPaths { arguments.append("--trust-paths") }
        if asksServers { arguments += ["--patience", "0"] }
        var child: pid_t = 0
        let status = CStrings.with(arguments) { arguments in
            posix_spawn(&child, "/proc/self/exe", &actions, nil, arguments, environ)
        }
        guard status == 0 else {
            errno = status
            throw Failure.system("start leakprof symbolize")
        }
        var ended: Int32 = 0
        while waitpid(child, &ended, 0) < 0 {
            guard errno == EINTR else { throw Failure.system("wait for leakprof symbolize") }
        }
        return ended
    }

    private static let tookTooLong = "reading it took too long"

    private func words(_ status: Int32) -> String {
        let signal = status & 0x7f
        if signal == SIGALRM { return Self.tookTooLong }
        if signal != 0 { return "reading it ended with \(String(cString: strsignal(signal)))" }
        return "reading it ended with status \(status >> 8 & 0xff)"
    }

    private func merge(_ reply: Snapshot, at locations: [Int], into snapshot: inout Snapshot) {
        for (answer, location) in zip(reply.locations, locations) {
            snapshot.locations[location].frames = answer.frames
        }
        for index in reply.mappings.indices {
            snapshot.mappings[index].symbols = reply.mappings[index].symbols
        }
        snapshot.facts.notes += reply.facts.notes
    }

    /// Gives what has no frames yet the frame that can be told without symbols.
    private func finish(_ snapshot: inout Snapshot, _ failures: [Int: String]) {
        for (mapping, reason) in failures.sorted(by: { $0.key < $1.key }) {
            snapshot.facts.notes.append(
                "\(snapshot.mappings[mapping].path): no symbols: \(reason)")
        }
        for index in snapshot.locations.indices where snapshot.locations[index].frames.isEmpty {
            let location = snapshot.locations[index]
            snapshot.locations[index].frames = [
                .unsymbolized(
                    address: location.address,
                    in: location.mapping.map { snapshot.mappings[$0] })
            ]
        }
        let more = snapshot.facts.notes.count - Self.notesLimit
        if more > 0 {
            snapshot.facts.notes.removeLast(more)
            snapshot.facts.notes.append("and \(more) more notes")
        }
    }
}
