package import LeakprofModel

/// Makes snapshots for tests from stacks of names.
package struct SnapshotFixture {
    package var snapshot = Snapshot()
    private var locations: [Frame: Int] = [:]

    package init() {
        snapshot.mappings = [
            Mapping(
                start: 0x40_0000, limit: 0x50_0000, path: "/app/server",
                buildID: "00112233445566778899aabbccddeeff00112233",
                symbols: SymbolCoverage(
                    hasFunctions: true, hasFilenames: true, hasLineNumbers: true))
        ]
        snapshot.facts = SnapshotFacts(
            capturedAt: 1_790_000_000_000_000_000, duration: 60_000_000_000, period: 1,
            process: ProcessFacts(
                pid: 4711, startTicks: 100, image: "abc", executable: "/app/server",
                arguments: ["/app/server", "--port", "80"], residentBytes: 30 << 20,
                peakResidentBytes: 45 << 20),
            recording: RecordingFacts(
                mode: "auto", state: "recording", maxDepth: 128, cutEpoch: 1,
                epochs: [EpochFacts(startedAfter: 0, reason: "start")], regionBytes: 16 << 20))
    }

    /// Adds `blocks` live blocks of `size` bytes at a stack given from the outermost function inwards;
    /// `function file:line` each, the place optional.
    package mutating func add(
        _ stack: [String], blocks: Int64, size: Int64, freed: Int64 = 0, epoch: UInt32 = 1,
        variance: SamplingVariance = .zero
    ) {
        snapshot.samples.append(
            Sample(
                stack: stack.reversed().map { location($0) }, epoch: epoch,
                counts: AllocationCounts(
                    allocObjects: blocks + freed, allocSpace: (blocks + freed) * size,
                    inuseObjects: blocks, inuseSpace: blocks * size),
                variance: variance))
    }

    private mutating func location(_ text: String) -> Int {
        let parts = text.split(separator: " ", maxSplits: 1)
        var frame = Frame(function: String(parts[0]))
        if parts.count == 2, let colon = parts[1].lastIndex(of: ":") {
            frame.file = String(parts[1][..<colon])
            frame.line = Int64(parts[1][parts[1].index(after: colon)...]) ?? 0
        }
        if let known = locations[frame] { return known }
        let index = snapshot.locations.count
        snapshot.locations.append(
            Location(address: 0x40_0000 + UInt64(index) * 16, mapping: 0, frames: [frame]))
        locations[frame] = index
        return index
    }
}
