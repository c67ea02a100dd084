internal import ArgumentParser
internal import CLinux
internal import Glibc
internal import LeakprofModel
internal import LeakprofPprof
internal import LeakprofSymbols

/// The process that reads programs and their debug information, for ``SymbolReader``.
///
/// Reads a profile from stdin and writes it with frames behind the first 8 bytes of stdout, which must be a
/// file: they hold the index of the mapping that is being read, -1 for none.
struct SymbolizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "symbolize",
        abstract: "Look up the frames of a profile; leakprof calls this by itself.")

    @Option(help: "The running target.")
    var pid: Int32?

    @Option(help: "Whose rights to have, if this is root.")
    var user: UInt32?

    @Option(help: "That user's group.")
    var group: UInt32?

    @Option(name: .customLong("debug-dir"))
    var debugDirectories: [String] = []

    @Flag(help: "Take files at their paths' word where a mapping has no build ID.")
    var trustPaths = false

    @Option(help: "Seconds that one file may take; 0 is for ever.")
    var patience: UInt32 = 300

    /// Address space: debug information of several gigabytes is mapped whole.
    private static let memoryLimit: rlim_t = 16 << 30

    func run() throws {
        if let user, user != 0, geteuid() == 0 {
            guard leakprof_become_user(user, group ?? user) == 0 else { throw ExitCode(2) }
        }
        guard leakprof_confine(Self.memoryLimit, rlim_t(ProfileDecoder.sizeLimit)) == 0 else {
            throw ExitCode(2)
        }
        // Swift's runtime would run a program that shows what was in memory; the parent says what happened.
        for fault in [SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGABRT, SIGFPE] { signal(fault, SIG_DFL) }
        // If memory runs out after all, it is this process that goes and not the target.
        if let score = fopen("/proc/self/oom_score_adj", "we") {
            fputs("1000", score)
            fclose(score)
        }

        var snapshot = try ProfileDecoder.decode(try ResultFile.bytes(of: STDIN_FILENO, from: 0))
        for index in snapshot.locations.indices { snapshot.locations[index].frames = [] }
        var progress = Progress("looking up symbols")
        let symbolizer = Symbolizer(
            pid: pid,
            options: Symbolizer.Options(
                debugDirectories: debugDirectories, trustsPaths: trustPaths))
        symbolizer.symbolize(&snapshot, willRead: begin) { progress.update($0) }
        begin(-1)
        progress.finish()
        let bytes = try ProfileEncoder.encode(snapshot, tool: "")
        try OutputFile.write(bytes, toEndOf: STDOUT_FILENO)
    }

    /// Keeps what is being read, in case it is the last thing this process does.
    private func begin(_ mapping: Int) {
        if patience != 0 { alarm(patience) }
        withUnsafeBytes(of: Int64(mapping)) { bytes in
            if pwrite(STDOUT_FILENO, bytes.baseAddress, bytes.count, 0) == bytes.count {
                lseek(STDOUT_FILENO, off_t(bytes.count), SEEK_SET)
            }
        }
    }
}

/// Files that two processes share by descriptor.
enum ResultFile {
    /// The bytes from `offset` to the end.
    static func bytes(of descriptor: Int32, from offset: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 20)
        while bytes.count <= ProfileDecoder.sizeLimit {
            let got = pread(descriptor, &chunk, chunk.count, off_t(offset + bytes.count))
            if got < 0 && errno == EINTR { continue }
            guard got >= 0 else { throw Failure.system("read what was looked up") }
            if got == 0 { break }
            bytes.append(contentsOf: chunk[..<got])
        }
        return bytes
    }
}
