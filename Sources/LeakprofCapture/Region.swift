internal import CLeakprofLayout
internal import Glibc
package import LeakprofModel

/// A recording region on disk: of a running process, of a dead one, or a copy the target wrote.
package struct Region: Sendable {
    package let path: String

    package init(path: String) { self.path = path }

    /// Reads everything in the region into a snapshot without symbols.
    ///
    /// The target is not stopped and not slowed down: its file is copied. Every allocation that returned
    /// before the call began is in the snapshot, and no block freed by then is live. The counter of a
    /// stack trace and epoch is read as of one moment, off by at most one operation per thread; two
    /// counters are read as of moments some microseconds apart.
    ///
    /// With `startsEpoch`, blocks allocated from now on get a new birth epoch, so that a later
    /// snapshot can tell them apart. It is ignored for dead processes and copies.
    package func capture(startsEpoch: Bool) throws(CaptureError) -> Snapshot {
        let process = runningProcess()
        let file = try open(forRequests: startsEpoch && process != nil)
        let header = try RegionHeader(of: file)
        if startsEpoch, process != nil { file.requestEpoch(after: header.raw.epoch) }
        let tables = try RegionTables(of: file, header: header)
        var (snapshot, damagedRecords, interpreter) = SnapshotBuilder(tables).build()
        let facts = FactsReader(
            tables: tables, process: process, damagedRecords: damagedRecords,
            interpreter: interpreter)
        snapshot.facts = facts.read(mappings: snapshot.mappings)
        return snapshot
    }

    /// The header and the tables' use, for people who debug the recording itself: name and value, in
    /// the order of the header.
    package func inspect() throws(CaptureError) -> [(name: String, value: String)] {
        let file = try open(forRequests: false)
        let tables = try RegionTables(of: file, header: try RegionHeader(of: file))
        return RegionInspection(tables: tables).lines
    }

    /// Asks the target to record its allocations, or to pause.
    ///
    /// It does so when it allocates next, some tens of kilobytes later at most; ``isRecording()`` tells. Throws
    /// when the region can't be written, or its process does not record and never will.
    package func request(recording: Bool) throws(CaptureError) {
        let file = try RegionFile(path: path, forRequests: true)
        _ = try headerForRequests(file)
        file.request(wanted: recording ? LP_WANTED_RECORDING : LP_WANTED_PAUSED)
    }

    /// Throws when the target does not record and never will.
    private func headerForRequests(_ file: borrowing RegionFile) throws(CaptureError) -> lp_header {
        let header = try RegionHeader(of: file).raw
        guard runningProcess() != nil, header.state != UInt32(LP_STATE_ENDED) else {
            throw .unsupported("\(path) is of a process that has ended")
        }
        guard header.state != UInt32(LP_STATE_OFF) else {
            throw .unsupported(
                "process \(header.pid) can't record: " + RegionWords.offReason(header.off_reason))
        }
        return header
    }

    /// The block that begins at `address` in the running target, as a snapshot of that block alone, without symbols;
    /// `nil` when no recorded block that is live begins there.
    ///
    /// The shim looks it up when the target allocates next, in sampled mode when it takes a sample next. Throws when
    /// it does not within `patience` seconds, or when the region can't be written.
    package func block(at address: UInt64, patience: Double) throws(CaptureError) -> Snapshot? {
        let process = runningProcess()
        let file = try RegionFile(path: path, forRequests: true)
        guard file.lock() else {
            throw .unsupported("another leakprof asks about \(path) just now")
        }
        let wanted = try headerForRequests(file).wanted & UInt32(LP_WANTED_PAUSED)
        file.ask(about: address, wanted: wanted)
        defer { file.withdrawQuestion(wanted: wanted) }
        var left = patience
        while true {
            let header = try RegionHeader(of: file)
            if header.raw.lookup == UInt32(LP_LOOKUP_ANSWERED) {
                guard header.raw.lookup_counter != 0 else { return nil }
                let tables = try RegionTables(of: file, header: header)
                let counter = Int(header.raw.lookup_counter)
                guard
                    var snapshot = SnapshotBuilder(tables).build(
                        blockOf: counter, bytes: header.raw.lookup_size)
                else { throw .damaged(path: path, what: "the answer refers to no counter") }
                let facts = FactsReader(
                    tables: tables, process: process, damagedRecords: 0, interpreter: nil)
                snapshot.facts = facts.read(mappings: snapshot.mappings)
                return snapshot
            }
            guard left > 0, runningProcess() != nil else {
                throw .unsupported(
                    "process \(header.raw.pid) did not answer: it does so when it allocates next")
            }
            usleep(5000)
            left -= 0.005
        }
    }

    /// Whether allocations are recorded now.
    package func isRecording() throws(CaptureError) -> Bool {
        try RegionHeader(of: try open(forRequests: false)).raw.state == UInt32(LP_STATE_RECORDING)
    }

    /// The process that is writing the region, if it is still there.
    package func runningProcessID() -> Int32? { runningProcess()?.pid }

    /// The user and the group of the process that is writing the region, or of its file when that is gone.
    func owner() -> (user: UInt32, group: UInt32)? {
        if let owner = runningProcess()?.owner { return owner }
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        return (status.st_uid, status.st_gid)
    }

    /// The region a process left, once it has ended; `nil` when it left none.
    ///
    /// `directory` is the recording directory, if not the default one.
    package static func left(
        byPid pid: Int32, startTicks: UInt64, directory: String?
    ) -> Region? {
        RegionDirectory.regions(ofPid: pid, in: directory).last { path in
            RegionName(path.lastPathComponent)?.startTicks == startTicks
        }.map(Region.init(path:))
    }

    /// When a process started, in clock ticks since boot; 0 when there is no such process.
    package static func startTicks(ofPid pid: Int32) -> UInt64 {
        ProcFile.start(of: pid)?.ticks ?? 0
    }

    /// Deletes the file.
    package func remove() { unlink(path) }

    /// A reader who may not write the file can't ask for an epoch, and still reads.
    private func open(forRequests: Bool) throws(CaptureError) -> RegionFile {
        if forRequests, let file = try? RegionFile(path: path, forRequests: true) {
            return file
        }
        return try RegionFile(path: path)
    }

    /// In the file's name is the process ID of the target's own namespace; in another namespace, the
    /// process that has the file mapped has another one.
    private func runningProcess() -> LiveProcess? {
        guard let name = RegionName(path.lastPathComponent), !name.isCopy else { return nil }
        if path.hasPrefix("/proc/"), let pid = Int32(path.split(separator: "/")[1]) {
            return LiveProcess(pid: pid)
        }
        guard let process = LiveProcess(pid: name.pid), process.startTicks == name.startTicks
        else { return nil }
        return process
    }
}

/// Gathers what a snapshot says besides its samples.
struct FactsReader {
    let tables: RegionTables
    /// The running target; `nil` for a dead one and for a copy.
    let process: LiveProcess?
    let damagedRecords: Int
    /// The path of the module that evaluates Python code, if a stack went through one.
    let interpreter: String?

    private var header: lp_header { tables.header.raw }

    func read(mappings: [Mapping]) -> SnapshotFacts {
        let end = endOfRecording
        let duration = Int64(clamping: end &- header.started_monotonic_ns)
        return SnapshotFacts(
            capturedAt: capturedAt(duration: duration), duration: max(0, duration),
            period: max(1, interval), process: processFacts(mappings: mappings),
            recording: recordingFacts(mappings: mappings))
    }

    private var isCopy: Bool { header.copied_monotonic_ns != 0 }

    /// On the clock the shim uses.
    private var endOfRecording: UInt64 {
        if isCopy { return header.copied_monotonic_ns }
        if header.ended_monotonic_ns != 0 { return header.ended_monotonic_ns }
        if process == nil { return header.last_active_ns }
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC_COARSE, &now)
        return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }

    private func capturedAt(duration: Int64) -> Int64 {
        if isCopy { return Int64(clamping: header.copied_realtime_ns) }
        return Int64(clamping: header.started_realtime_ns).saturatingAdd(duration)
    }

    private var interval: Int64 {
        let index = Int(header.interval_index)
        return tables.intervals.indices.contains(index)
            ? Int64(clamping: tables.intervals[index]) : 0
    }

    private func processFacts(mappings: [Mapping]) -> ProcessFacts {
        let executable = process?.executable ?? mappings.first?.path ?? ""
        // The kernel keeps 15 characters of the name.
        let name = process?.name.flatMap { executable.lastPathComponent.hasPrefix($0) ? nil : $0 }
        return ProcessFacts(
            pid: Int64(header.pid), startTicks: header.start_ticks,
            image: String(header.image_nonce, radix: 16), name: name ?? "", executable: executable,
            arguments: process?.arguments ?? [], forkedFrom: Int64(header.forked_from),
            residentBytes: process?.residentBytes, peakResidentBytes: process?.peakResidentBytes,
            memoryLimitBytes: process?.memoryLimitBytes)
    }

    private func recordingFacts(mappings: [Mapping]) -> RecordingFacts {
        let cut = isCopy ? header.copy_cut_epoch : header.epoch
        return RecordingFacts(
            mode: RegionWords.mode(header.mode), state: state, intervalBytes: interval,
            costPpm: header.mode == UInt32(LP_MODE_AUTO) ? Int64(header.recording_ppm) : nil,
            maxDepth: Int64(header.max_depth), cutEpoch: cut, epochs: epochs,
            statistics: statistics, regionBytes: Int64(clamping: header.region_bytes),
            liveTableBytes: Int64(clamping: tables.statistic(LP_STAT_LIVE_TABLE_BYTES)),
            otherMalloc: otherMalloc(mappings: mappings),
            python: PythonFacts(header: header, interpreter: interpreter))
    }

    private func otherMalloc(mappings: [Mapping]) -> String? {
        let module = tables.statistic(LP_STAT_OTHER_MALLOC)
        guard module > 0, module <= UInt64(mappings.count) else { return nil }
        return mappings[Int(module) - 1].path
    }

    private var state: String {
        switch header.state {
        case UInt32(LP_STATE_ENDED): "ended"
        case UInt32(LP_STATE_OFF): "off: " + RegionWords.offReason(header.off_reason)
        case _ where process == nil && !isCopy: "killed"
        case UInt32(LP_STATE_PAUSED): "paused"
        default: "recording"
        }
    }

    private var epochs: [EpochFacts] {
        tables.epochs.map { epoch in
            // An epoch that began while the region was copied may not have its time yet.
            let started = epoch.started_monotonic_ns
            let after = started == 0 ? 0 : Int64(clamping: started &- header.started_monotonic_ns)
            return EpochFacts(
                startedAfter: max(0, after), reason: RegionWords.epochReason(epoch.reason))
        }
    }

    private var statistics: [String: Int64] {
        var statistics: [String: Int64] = [:]
        for (index, name) in RegionWords.statistics {
            let value = tables.statistic(index)
            if value != 0 { statistics[name] = Int64(clamping: value) }
        }
        if damagedRecords != 0 { statistics["damaged_records"] = Int64(damagedRecords) }
        return statistics
    }
}
