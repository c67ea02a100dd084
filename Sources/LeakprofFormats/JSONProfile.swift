internal import FoundationEssentials
internal import LeakprofModel
internal import LeakprofPprof

/// Heap profiles in JSON: V8's `.heapprofile`, speedscope's files, and leakprof's own reports.
enum JSONProfile {
    /// The most bytes such a file may have; lists of nothing take thirty times as much memory.
    static let sizeLimit = 64 << 20

    static func decode(_ bytes: [UInt8]) throws(ProfileError) -> Snapshot {
        guard bytes.count <= sizeLimit else {
            throw .inconsistent("it is JSON of more than \(sizeLimit) bytes")
        }
        let json = Data(bytes)
        let decoder = JSONDecoder()
        if let profile = try? decoder.decode(V8HeapProfile.self, from: json) {
            return try profile.snapshot()
        }
        if let file = try? decoder.decode(SpeedscopeFile.self, from: json) {
            return try file.snapshot()
        }
        if let file = try? decoder.decode(JSONReportFile.self, from: json) {
            return try file.readSnapshot()
        }
        throw .unrecognized
    }
}

/// A sampling heap profile of V8, as `node --heap-prof` and Chromium's developer tools write it:
/// https://chromedevtools.github.io/devtools-protocol/tot/HeapProfiler/#type-SamplingHeapProfile.
///
/// V8 has made estimates of its samples already; it says nothing of how many objects there are.
private struct V8HeapProfile: Decodable {
    let head: Node

    struct Node: Decodable {
        let callFrame: CallFrame
        let selfSize: Double
        let children: [Node]
    }

    struct CallFrame: Decodable {
        let functionName: String
        let url: String
        /// From 0; below that, unknown.
        let lineNumber: Int64

        var frame: Frame {
            let scheme = "file://"
            let file = url.hasPrefix(scheme) ? String(url.dropFirst(scheme.count)) : url
            return Frame(
                function: functionName.isEmpty
                    ? "(anonymous)" : functionName.clipped(toBytes: Frame.nameLimit),
                file: file.clipped(toBytes: Frame.nameLimit),
                line: file.isEmpty ? 0 : max(0, lineNumber.saturatingAdd(1)))
        }
    }

    /// The head stands for the whole and is no frame.
    func snapshot() throws(ProfileError) -> Snapshot {
        var assembler = StackAssembler()
        try Self.add(head, [], to: &assembler)
        return assembler.snapshot
    }

    /// As deep as JSONDecoder lets JSON be: 512.
    private static func add(
        _ node: Node, _ stack: [Int], to assembler: inout StackAssembler
    ) throws(ProfileError) {
        if node.selfSize > 0 {
            try assembler.add(
                stack.reversed(), AllocationCounts(inuseSpace: Int64(saturating: node.selfSize)))
        }
        for child in node.children {
            let location = try assembler.location(of: child.callFrame.frame)
            try add(child, stack + [location], to: &assembler)
        }
    }
}

/// A file of https://www.speedscope.app/file-format-schema.json with `sampled` profiles, as leakprof and
/// `memray transform speedscope` write it.
///
/// The first profile in bytes is the space. A profile without a unit that has the same stacks is the number of
/// objects, as memray means it.
private struct SpeedscopeFile: Decodable {
    let shared: Shared
    let profiles: [Profile]

    struct Shared: Decodable {
        let frames: [SharedFrame]
    }

    struct SharedFrame: Decodable {
        let name: String
        let file: String?
        let line: Int64?

        var frame: Frame {
            Frame(
                function: name.isEmpty ? "[unknown]" : name.clipped(toBytes: Frame.nameLimit),
                file: (file ?? "").clipped(toBytes: Frame.nameLimit), line: max(0, line ?? 0))
        }
    }

    struct Profile: Decodable {
        let type: String
        let unit: String
        let samples: [[Int]]?
        let weights: [Double]?
    }

    func snapshot() throws(ProfileError) -> Snapshot {
        let sampled = profiles.filter { $0.type == "sampled" && $0.samples != nil }
        guard let space = sampled.first(where: { $0.unit == "bytes" }) else {
            throw .notAHeapProfile(
                sampleTypes: profiles.prefix(10).map {
                    "\($0.type)/\($0.unit)".clipped(toBytes: 100)
                })
        }
        let objects = sampled.first { $0.unit == "none" && $0.samples == space.samples }
        var assembler = StackAssembler()
        var locations: [Int] = []
        for shared in shared.frames { locations.append(try assembler.location(of: shared.frame)) }
        let stacks = space.samples ?? []
        let bytes = space.weights ?? []
        let counts = objects?.weights ?? [Double](repeating: 0, count: bytes.count)
        guard stacks.count == bytes.count, counts.count == bytes.count else {
            throw .inconsistent("it has \(stacks.count) stacks and \(bytes.count) weights")
        }
        for (index, stack) in stacks.enumerated() {
            guard stack.allSatisfy(locations.indices.contains) else {
                throw .inconsistent("a stack names no frame")
            }
            try assembler.add(
                stack.reversed().map { locations[$0] },
                AllocationCounts(
                    inuseObjects: Int64(saturating: counts[index]),
                    inuseSpace: Int64(saturating: bytes[index])))
        }
        return assembler.snapshot
    }
}
