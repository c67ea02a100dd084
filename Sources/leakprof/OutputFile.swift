internal import Glibc
internal import LeakprofModel

/// Files that are complete or not there: written beside their place and moved into it.
enum OutputFile {
    /// Writes `bytes` to `path`; `-` is stdout.
    ///
    /// An existing file is replaced if `replacing`; if not, it stays and this throws. What ends this process
    /// from outside meanwhile waits until the file is there, or nothing of it; kill -9 does not.
    static func write(_ bytes: [UInt8], to path: String, replacing: Bool = true) throws {
        if path == "-" {
            try writeAll(bytes, to: STDOUT_FILENO, "stdout")
            return
        }
        // Devices and pipes can't be moved into place.
        var status = stat()
        if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
            let descriptor = open(path, O_WRONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw failure("write", path) }
            defer { close(descriptor) }
            try writeAll(bytes, to: descriptor, path)
            return
        }
        let signals = HeldSignals()
        defer { signals.release() }
        let temporary = "\(path).partial-\(getpid())"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure("write", path) }
        var isComplete = false
        defer { if !isComplete { unlink(temporary) } }
        do {
            defer { close(descriptor) }
            try writeAll(bytes, to: descriptor, path)
            guard fsync(descriptor) == 0 else { throw failure("write", path) }
        }
        // link(2) refuses to replace, rename(2) replaces.
        if replacing {
            guard rename(temporary, path) == 0 else { throw failure("write", path) }
            isComplete = true
        } else {
            guard link(temporary, path) == 0 else { throw failure("write", path) }
        }
    }

    /// Writes `bytes` where the descriptor stands.
    static func write(_ bytes: [UInt8], toEndOf descriptor: Int32) throws {
        try writeAll(bytes, to: descriptor, "a file in memory")
    }

    private static func writeAll(_ bytes: [UInt8], to descriptor: Int32, _ name: String) throws {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                Glibc.write(
                    descriptor, buffer.baseAddress.map { $0 + written }, buffer.count - written)
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw failure("write", name) }
            written += count
        }
    }

    private static func failure(_ what: String, _ path: String) -> Failure {
        Failure(
            "can't \(what) \(path): \(String(cString: strerror(errno)))",
            try: "another place with -o FILE")
    }

    /// Writes to the first of `leakprof.NAME.PID.1.SUFFIX`, `….2.…` that does not exist, and returns it.
    static func writeNumbered(_ bytes: [UInt8], for process: ProcessFacts?, suffix: String) throws
        -> String
    {
        let name = process.map { "\(fileName($0.name)).\($0.pid)" } ?? "snapshot"
        for number in 1... {
            let path = "leakprof.\(name).\(number).\(suffix)"
            if access(path, F_OK) == 0 { continue }
            do {
                try write(bytes, to: path, replacing: false)
                return path
            } catch let failure as Failure {
                // Somebody else took the name in between.
                guard access(path, F_OK) == 0 else { throw failure }
            }
        }
        return ""
    }

    /// A name from the target, fit to be part of a file's.
    private static func fileName(_ name: String) -> String {
        let allowed = name.unicodeScalars.filter { scalar in
            scalar.isASCII
                && (scalar.properties.isAlphabetic || "0123456789-_.".contains(String(scalar)))
        }
        return allowed.isEmpty ? "process" : String(String.UnicodeScalarView(allowed)).prefixed(64)
    }
}

extension String {
    fileprivate func prefixed(_ length: Int) -> String { String(prefix(length)) }
}

/// Signals that would leave half a file behind, held until it is whole or gone.
private struct HeldSignals {
    private var mask = sigset_t()
    private var fileSize = sigaction()

    init() {
        var held = sigset_t()
        sigemptyset(&held)
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] { sigaddset(&held, signal) }
        pthread_sigmask(SIG_BLOCK, &held, &mask)
        // Past RLIMIT_FSIZE, write(2) fails only if the signal is ignored.
        var ignored = sigaction()
        ignored.__sigaction_handler.sa_handler = SIG_IGN
        sigaction(SIGXFSZ, &ignored, &fileSize)
    }

    func release() {
        var (mask, fileSize) = (mask, fileSize)
        sigaction(SIGXFSZ, &fileSize, nil)
        pthread_sigmask(SIG_SETMASK, &mask, nil)
    }
}
