internal import CLeakprofLayout
internal import Glibc
internal import LeakprofModel

/// Something that was checked, in one line, with what to do about it if that is something.
package struct Finding: Sendable, Equatable {
    package enum Verdict: String, Sendable {
        case works = "ok"
        /// Works, with less in the reports.
        case limits = "note"
        case fails = "FAIL"
    }

    package let verdict: Verdict
    package let text: String

    package static func good(_ text: String) -> Finding { Finding(verdict: .works, text: text) }
    package static func poor(_ text: String) -> Finding { Finding(verdict: .limits, text: text) }
    package static func bad(_ text: String) -> Finding { Finding(verdict: .fails, text: text) }

    package var line: String {
        verdict.rawValue + String(repeating: " ", count: 6 - verdict.rawValue.count) + text
    }
}

/// Whether programs can be recorded on this host, by this user.
package struct HostCheck {
    private let directory: String

    /// - Parameter directory: The recording directory, if not the default one.
    package init(directory: String?) {
        self.directory = directory ?? "/dev/shm/leakprof-\(geteuid())"
    }

    package var findings: [Finding] {
        [kernel, libc] + directoryFindings + [leftRegions].compactMap { $0 }
    }

    private var kernel: Finding {
        var names = utsname()
        uname(&names)
        let release = withUnsafeBytes(of: names.release) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        let numbers = release.split(whereSeparator: { !$0.isNumber }).compactMap { Int($0) }
        guard numbers.count >= 2, (numbers[0], numbers[1]) >= (4, 14) else {
            return .bad("Linux \(release): recording needs 4.14 or newer")
        }
        return .good("Linux \(release)")
    }

    /// The host's; a container may bring another one.
    private var libc: Finding {
        // "glibc 2.36"
        var text = [UInt8](repeating: 0, count: 64)
        let length = text.withUnsafeMutableBytes { bytes in
            bytes.withMemoryRebound(to: CChar.self) { characters in
                confstr(Int32(_CS_GNU_LIBC_VERSION), characters.baseAddress, characters.count)
            }
        }
        let version = String(decoding: text.prefix(max(1, length) - 1).dropFirst(6), as: UTF8.self)
        let numbers = version.split(separator: ".").compactMap { Int($0) }
        guard numbers.count >= 2, (numbers[0], numbers[1]) >= (2, 17) else {
            return .bad("glibc \(version): recording needs 2.17 or newer")
        }
        return .good("glibc \(version)")
    }

    private var directoryFindings: [Finding] {
        var status = stat()
        if lstat(directory, &status) != 0 {
            let parent = String(directory.dropLast(directory.lastPathComponent.count + 1))
            guard access(parent, W_OK) == 0 else {
                return [
                    .bad(
                        "\(directory) does not exist and can't be made: set LEAKPROF_DIR to a directory"
                    )
                ]
            }
            return [.good("\(directory) will be made when it is needed"), room(in: parent)]
        }
        if status.st_mode & S_IFMT != S_IFDIR {
            return [.bad("\(directory) is not a directory: remove it, or set LEAKPROF_DIR")]
        }
        if status.st_uid != geteuid() {
            return [.bad("\(directory) belongs to user \(status.st_uid): set LEAKPROF_DIR")]
        }
        if status.st_mode & (S_IWGRP | S_IWOTH) != 0 {
            return [.bad("\(directory) is writable for others: chmod 700 \(directory)")]
        }
        return [.good("recordings go to \(directory)"), room(in: directory)]
    }

    private func room(in directory: String) -> Finding {
        var system = statvfs()
        guard statvfs(directory, &system) == 0 else {
            return .bad("\(directory) can't be examined")
        }
        let free = UInt64(system.f_bavail) * UInt64(system.f_frsize)
        // The shim takes no more than a quarter of what is free.
        let region = min(free / 4, UInt64(LP_REGION_BYTES_DEFAULT))
        let mebibytes = free >> 20
        if region < LP_REGION_BYTES_MIN {
            return .bad(
                "\(directory) has only \(free >> 10) KiB free: set LEAKPROF_DIR to another place")
        }
        if region < LP_REGION_BYTES_DEFAULT {
            return .poor(
                "\(directory) has \(mebibytes) MiB free: regions will be smaller than 16 MiB")
        }
        return .good("\(mebibytes) MiB are free there; each recorded process takes 16")
    }

    private var leftRegions: Finding? {
        let left = ProcFile.names(in: directory).filter { file in
            guard let name = RegionName(file), !name.isCopy else { return false }
            return LiveProcess(pid: name.pid)?.startTicks != name.startTicks
        }
        guard !left.isEmpty else { return nil }
        return .poor(
            "\(left.count) regions of dead processes are in \(directory); when you need none of them: "
                + "rm \(directory)/PID.*.region")
    }
}

/// A process, as far as recording it is concerned.
package struct ProcessCheck {
    private let process: LiveProcess

    /// `nil` when there is no such process.
    package init?(pid: Int32) {
        guard let process = LiveProcess(pid: pid) else { return nil }
        self.process = process
    }

    package var executable: String? { process.executable }

    /// Whether it is a Go program without the shim, so that its own heap profile is what can be read of it.
    package var isGoAlone: Bool { process.regionPath == nil && GoProcess(process) != nil }

    /// Whether the shim is in it and records.
    package var findings: [Finding] {
        guard let path = process.regionPath else {
            if let program = GoProcess(process) { return [finding(of: program)] }
            let reason = ShimProbe.reasonForNoRegion(of: process) ?? "it can't be examined"
            return [
                .bad(
                    "process \(process.pid) is not recorded: \(reason); "
                        + "start it with leakprof run -- …")
            ]
        }
        do {
            let snapshot = try Region(path: path).capture(startsEpoch: false)
            let state = snapshot.facts.recording?.state ?? ""
            let finding = "process \(process.pid) is recorded in \(path)"
            return [state == "recording" ? .good(finding) : .bad("\(finding), but \(state)")]
        } catch {
            return [.bad("\(error.description); \(error.advice)")]
        }
    }

    private func finding(of program: GoProcess) -> Finding {
        do throws(CaptureError) {
            _ = try program.capture()
            return .good(
                "process \(process.pid) is a program of \(program.version): its own heap profile can be "
                    + "read")
        } catch {
            return .bad("\(error.description); try \(error.advice)")
        }
    }
}
