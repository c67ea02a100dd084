internal import Glibc
internal import LeakprofCapture

/// The program that `leakprof run` started.
///
/// Signals sent to leakprof alone are passed on. Those from the terminal are not: the kernel sends them to
/// the whole foreground process group, so the program has them already.
struct ChildProcess {
    let pid: Int32
    /// When it started, in clock ticks since boot; 0 when it was gone at once.
    let startTicks: UInt64

    private static let forwarded = [SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2]

    /// Starts `program`; `arguments[0]` is what it is called.
    ///
    /// The environment is leakprof's own with `environment` on top.
    init(program: String, arguments: [String], environment: [String: String]) throws {
        // Blocked before the program starts, so that no signal falls between.
        var mask = sigset_t()
        var original = sigset_t()
        sigemptyset(&mask)
        for signal in Self.forwarded + [SIGCHLD] { sigaddset(&mask, signal) }
        pthread_sigmask(SIG_BLOCK, &mask, &original)

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setsigmask(&attributes, &original)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))

        var pid: pid_t = 0
        let variables = Self.merged(environment).map { "\($0.key)=\($0.value)" }
        let status = CStrings.with(arguments) { arguments in
            CStrings.with(variables) { variables in
                posix_spawn(&pid, program, nil, &attributes, arguments, variables)
            }
        }
        guard status == 0 else {
            throw Failure(
                "can't run \(program): \(String(cString: strerror(status)))",
                try: "check that it is a program and may be executed")
        }
        self.pid = pid
        startTicks = Region.startTicks(ofPid: pid)
    }

    /// Waits until the program has ended; returns its exit status, or 128 plus the signal that killed it,
    /// as a shell does.
    func waitForwardingSignals() -> Int32 {
        var mask = sigset_t()
        sigemptyset(&mask)
        for signal in Self.forwarded + [SIGCHLD] { sigaddset(&mask, signal) }
        while true {
            var status: Int32 = 0
            if waitpid(pid, &status, WNOHANG) == pid {
                let signal = status & 0x7f
                return signal == 0 ? status >> 8 & 0xff : 128 + signal
            }
            var information = siginfo_t()
            let signal = sigwaitinfo(&mask, &information)
            guard signal > 0, signal != SIGCHLD else { continue }
            // SI_USER, SI_QUEUE and SI_TKILL are 0 and below: sent by a process.
            if information.si_code <= 0 { kill(pid, signal) }
        }
    }

    private static func merged(_ changes: [String: String]) -> [String: String] {
        var variables: [String: String] = [:]
        var entry = environ
        while let text = entry.pointee {
            let pair = String(cString: text).split(
                separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if pair.count == 2 { variables[String(pair[0])] = String(pair[1]) }
            entry += 1
        }
        return variables.merging(changes) { $1 }
    }
}

/// Arguments and variables as C has them.
enum CStrings {
    static func with<Result>(
        _ strings: [String],
        _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
    ) -> Result {
        var pointers = strings.map { strdup($0) }
        pointers.append(nil)
        defer { for pointer in pointers { free(pointer) } }
        return pointers.withUnsafeBufferPointer { buffer in
            // Never empty: the terminating null is in it.
            body(buffer.baseAddress.unsafelyUnwrapped)
        }
    }
}
