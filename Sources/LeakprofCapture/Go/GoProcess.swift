internal import Glibc
internal import LeakprofModel

/// A running Go program, whose heap is read from outside.
///
/// Nothing is needed of the program: no endpoint, no symbol table, no shim. Its runtime samples allocations from the
/// start, unless nothing in the program can ask for a heap profile: then the linker switches that off.
package struct GoProcess: Sendable {
    package let pid: Int32
    /// What it was built with, such as `go1.26.6`.
    package let version: String
    /// The recording directory, if not the default one.
    let directory: String?

    /// `nil` when the process is no Go program, or its file can't be read.
    ///
    /// What ``attach(rate:writes:)`` left is looked for in `directory` and in the default recording directory.
    init?(_ process: LiveProcess, directory: String? = nil) {
        guard let bytes = try? PagedBytes(path: "/proc/\(process.pid)/exe"),
            let file = ElfFile(bytes), let version = GoBuildInfo.version(of: file)
        else { return nil }
        pid = process.pid
        self.version = version
        self.directory = directory
    }

    /// The program's heap profile as a snapshot with symbols.
    ///
    /// The program is not stopped. Live is what was live at the last garbage collection that has been completed.
    func capture() throws(CaptureError) -> Snapshot {
        let attachment = try GoBaselineFile.find(of: try liveProcess(), in: directory)?.attachment
        return try read { process, reader throws(GoFailure) in
            var heap = try self.heap(reader)
            heap.baseline = attachment.flatMap(GoBaseline.init)
            var snapshot = try snapshot(of: heap, process, reader)
            guard heap.baseline != nil, var attachment else { return snapshot }
            attachment.ambiguousBytes = heap.ambiguousBytes
            attachment.buckets = nil
            attachment.image = ""
            snapshot.facts.recording?.go?.attachment = attachment
            if heap.rate != attachment.newRate {
                snapshot.facts.notes.append(
                    "runtime.MemProfileRate is \(heap.rate) and not \(attachment.newRate), as attach "
                        + "wrote: what was sampled since attach is scaled by \(attachment.newRate)")
            }
            return snapshot
        }
    }

    /// Adds the program's heap profile to what the shim recorded of the same process, or says why it is not there.
    func addHeap(to snapshot: inout Snapshot) {
        do throws(CaptureError) {
            let heap = try capture()
            snapshot.add(heap)
            let interval = heap.facts.recording?.intervalBytes ?? 0
            snapshot.facts.recording?.go = heap.facts.recording?.go
            snapshot.facts.notes.append(
                interval == 0
                    ? "all of Go's heap was recorded, by Go itself"
                    : "Go's heap was sampled every \(interval) bytes, by Go itself")
        } catch {
            snapshot.facts.notes.append("Go's heap is not in it: \(error.description)")
        }
    }

    /// The program's goroutines, by where they began; not those of the runtime itself.
    func goroutines() throws(CaptureError) -> GoroutineSnapshot {
        try read { process, reader throws(GoFailure) in
            let groups = try GoGoroutines(reader: reader).read()
            var facts = facts(of: process)
            facts.period = 1
            facts.recording = RecordingFacts(
                mode: "exact", state: "recording", go: GoFacts(version: version))
            return GoroutineSnapshot(
                facts: facts, mappings: [mapping(of: process, reader)], groups: groups)
        }
    }

    func liveProcess() throws(CaptureError) -> LiveProcess {
        guard let process = LiveProcess(pid: pid) else {
            throw .noSuchSource("there is no process \(pid) any more")
        }
        return process
    }

    func read<Result>(
        _ body: (LiveProcess, GoReader) throws(GoFailure) -> Result
    ) throws(CaptureError) -> Result {
        let process = try liveProcess()
        do throws(GoFailure) {
            return try body(process, try GoReader(process, version: version))
        } catch {
            throw .unreadableGo(pid: pid, reason: error.reason, advice: error.advice)
        }
    }

    func heap(_ reader: GoReader) throws(GoFailure) -> GoHeap {
        let variables = try reader.require([.buckets, .memoryProfileRate])
        guard let buckets = variables[.buckets], let rate = variables[.memoryProfileRate] else {
            throw .damaged("its heap profile was not found")
        }
        return try GoHeap.read(reader.memory, buckets: buckets, rate: rate, reader.version)
    }

    private func snapshot(
        of heap: GoHeap, _ process: LiveProcess, _ reader: GoReader
    ) throws(GoFailure) -> Snapshot {
        var snapshot = GoSnapshotBuilder(reader, program: mapping(of: process, reader)).build(heap)
        // The runtime itself may allocate before it switches the profile off.
        guard heap.rate != 0 || snapshot.locations.contains(where: isOfProgram) else {
            throw GoFailure(
                reason: "its heap profile is off (runtime.MemProfileRate is 0): nothing in the "
                    + "program can ask for one, so the linker left it out",
                advice: "leakprof attach \(pid), which has it sample from then on, or import _ "
                    + "\"net/http/pprof\" in the program")
        }
        snapshot.facts = facts(of: process)
        let rate = heap.baseline?.newRate ?? heap.rate
        let interval = rate > 1 ? rate : 0
        snapshot.facts.period = max(1, interval)
        var go = facts(of: heap)
        // Where they can't be read, the heap can still be.
        go.goroutines = (try? GoGoroutines(reader: reader).read()).map { groups in
            groups.reduce(0) { $0.saturatingAdd($1.count) }
        }
        snapshot.facts.recording = RecordingFacts(
            mode: interval == 0 ? "exact" : "sampled",
            state: heap.rate == 0 ? "off: MemProfileRate is 0" : "recording",
            intervalBytes: interval, go: go)
        if heap.rate == 0, heap.baseline == nil {
            snapshot.facts.notes.append(
                "runtime.MemProfileRate is 0 now, and what it was before is not known: each block that "
                    + "was sampled then counts for itself alone")
        }
        return snapshot
    }

    /// The same, and of a program that samples nothing the little that its runtime had sampled by then.
    func baseline(
        _ heap: GoHeap, _ process: LiveProcess, _ reader: GoReader
    ) -> Snapshot {
        var snapshot = GoSnapshotBuilder(reader, program: mapping(of: process, reader)).build(heap)
        snapshot.facts = facts(of: process)
        let interval = heap.rate > 1 ? heap.rate : 0
        snapshot.facts.period = max(1, interval)
        snapshot.facts.recording = RecordingFacts(
            mode: interval == 0 ? "exact" : "sampled", state: "recording",
            intervalBytes: interval, go: facts(of: heap))
        return snapshot
    }

    private func isOfProgram(_ location: Location) -> Bool {
        location.frames.contains { !$0.function.hasPrefix("runtime.") }
    }

    private func mapping(of process: LiveProcess, _ reader: GoReader) -> Mapping {
        let page: UInt64 = 4096
        let start = reader.module.text / page * page
        let code = reader.file.section(".text")
        return Mapping(
            start: start, limit: reader.module.codeEnd | (page - 1),
            fileOffset: (code?.offset ?? 0) / page * page, path: executable(of: process),
            symbols: SymbolCoverage(
                hasFunctions: true, hasFilenames: true, hasLineNumbers: true, hasInlineFrames: true)
        )
    }

    private func executable(of process: LiveProcess) -> String {
        let path = process.executable ?? ""
        let mark = " (deleted)"
        return path.hasSuffix(mark) ? String(path.dropLast(mark.count)) : path
    }

    private func facts(of process: LiveProcess) -> SnapshotFacts {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return SnapshotFacts(
            capturedAt: Int64(now.tv_sec) * 1_000_000_000 + Int64(now.tv_nsec),
            process: ProcessFacts(
                pid: Int64(process.innermostPid), startTicks: process.startTicks,
                executable: executable(of: process), arguments: process.arguments,
                residentBytes: process.residentBytes,
                peakResidentBytes: process.peakResidentBytes,
                memoryLimitBytes: process.memoryLimitBytes))
    }

    private func facts(of heap: GoHeap) -> GoFacts {
        let hasCollected = heap.hasCollected
        var facts = GoFacts(version: version, hasCollected: hasCollected)
        guard hasCollected else { return facts }
        for bucket in heap.buckets {
            for share in heap.shares(of: bucket) {
                let change = share.pending.allocations.saturatingSubtract(share.pending.frees)
                let (objects, bytes) = heap.estimate(
                    change, of: bucket.blockSize, at: share.rate)
                facts.pendingObjects = facts.pendingObjects.saturatingAdd(objects)
                facts.pendingBytes = facts.pendingBytes.saturatingAdd(bytes)
            }
        }
        return facts
    }
}

extension Snapshot {
    /// Adds the samples of another snapshot of the same process, of memory that is not in this one.
    fileprivate mutating func add(_ other: Snapshot) {
        let mappingIndices = other.mappings.map { mapping in
            if let known = mappings.firstIndex(where: { $0.path == mapping.path }) { return known }
            mappings.append(mapping)
            return mappings.count - 1
        }
        let first = locations.count
        locations += other.locations.map { location in
            var location = location
            location.mapping = location.mapping.map { mappingIndices[$0] }
            return location
        }
        samples += other.samples.map { sample in
            var sample = sample
            sample.stack = sample.stack.map { $0 + first }
            return sample
        }
    }
}
