internal import FoundationEssentials
internal import LeakprofAnalysis
package import LeakprofModel

/// Files that https://www.speedscope.app opens, in its own form: https://www.speedscope.app/file-format-schema.json.
///
/// Profiles are of the type `sampled`: stacks from the outermost function inwards, and a weight each, in bytes
/// or, for objects, without a unit.
package enum SpeedscopeReport {
    /// One snapshot as one profile.
    ///
    /// - Parameters:
    ///   - snapshot: Whatever it is from.
    ///   - name: What speedscope calls it.
    ///   - sampleType: What weights are of.
    ///   - tool: The name and version of the program that writes.
    /// - Returns: JSON; the same bytes for the same snapshot.
    /// - Throws: What JSONEncoder throws, for no snapshot known.
    package static func bytes(
        of snapshot: Snapshot, name: String, sampleType: SampleType = .inuseSpace, tool: String
    ) throws -> [UInt8] {
        var document = SpeedscopeDocument(sampleType)
        let stacks = document.stacks(of: snapshot)
        document.add(name, stacks)
        return try document.bytes(name: name, tool: tool)
    }

    /// A comparison as four profiles of the same frames: what grew, what shrank, and both snapshots.
    ///
    /// speedscope knows no weights below zero, so that growth and what shrank can't be in one. Parameters and
    /// result as those of ``bytes(of:name:sampleType:tool:)``.
    package static func bytes(
        base: Snapshot, current: Snapshot, names: (base: String, current: String),
        sampleType: SampleType = .inuseSpace, tool: String
    ) throws -> [UInt8] {
        var document = SpeedscopeDocument(sampleType)
        let before = document.stacks(of: base)
        let after = document.stacks(of: current)
        document.add("grown", difference(after, before))
        document.add("shrunk", difference(before, after))
        document.add("base: " + names.base, before)
        document.add("current: " + names.current, after)
        return try document.bytes(name: "\(names.base)..\(names.current)", tool: tool)
    }

    /// What `left` has more of than `right`, by stack.
    private static func difference(
        _ left: [[Int]: Int64], _ right: [[Int]: Int64]
    ) -> [[Int]: Int64] {
        var result: [[Int]: Int64] = [:]
        for (stack, value) in left { result[stack] = value.saturatingSubtract(right[stack] ?? 0) }
        return result
    }
}

private struct SpeedscopeDocument {
    private let sampleType: SampleType
    private var frames: [SpeedscopeFrame] = []
    private var indices: [SpeedscopeFrame: Int] = [:]
    private var profiles: [[UInt8]] = []

    init(_ sampleType: SampleType) { self.sampleType = sampleType }

    /// Values by stack, the outermost frame first.
    mutating func stacks(of snapshot: Snapshot) -> [[Int]: Int64] {
        // Frames are few and stacks many: each location's are looked up once.
        let indices = snapshot.locations.map { location in location.frames.map { index(of: $0) } }
        var stacks: [[Int]: Int64] = [:]
        for sample in snapshot.samples {
            let stack = Array(sample.stack.flatMap { indices[$0] }.reversed())
            stacks[stack] = stacks[stack, default: 0].saturatingAdd(sample.counts[sampleType])
        }
        return stacks
    }

    private mutating func index(of frame: Frame) -> Int {
        let frame = SpeedscopeFrame(frame)
        if let known = indices[frame] { return known }
        indices[frame] = frames.count
        frames.append(frame)
        return frames.count - 1
    }

    mutating func add(_ name: String, _ stacks: [[Int]: Int64]) {
        let ordered = stacks.filter { $0.value > 0 }.sorted {
            $0.key.lexicographicallyPrecedes($1.key)
        }
        let total = ordered.reduce(Int64(0)) { $0.saturatingAdd($1.value) }
        let samples = ordered.map { "[" + $0.key.map(String.init).joined(separator: ",") + "]" }
        let unit = sampleType.unit == "bytes" ? "bytes" : "none"
        let text = """
            {"endValue":\(total),"name":\(JSONText.string(name)),"samples":[
            \(samples.joined(separator: ",\n"))
            ],"startValue":0,"type":"sampled","unit":"\(unit)","weights":[
            \(ordered.map { String($0.value) }.joined(separator: ","))
            ]}
            """
        profiles.append(Array(text.utf8))
    }

    func bytes(name: String, tool: String) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var bytes = Array(
            """
            {"$schema":"https://www.speedscope.app/file-format-schema.json","activeProfileIndex":0,\
            "exporter":\(JSONText.string(tool)),"name":\(JSONText.string(name)),
            "profiles":[

            """.utf8)
        bytes += profiles.joined(separator: Array(",\n".utf8))
        bytes += Array("],\n\"shared\":{\"frames\":".utf8)
        bytes += Sanitized.json(Array(try encoder.encode(frames)))
        return bytes + Array("}}\n".utf8)
    }
}

private struct SpeedscopeFrame: Hashable, Encodable {
    var name: String
    var file: String?
    var line: Int64?

    init(_ frame: Frame) {
        name = FunctionName(frame.function).qualified
        file = frame.file.isEmpty ? nil : frame.file
        line = frame.line > 0 ? frame.line : nil
    }
}

/// Short texts in JSON.
private enum JSONText {
    /// A string literal that is safe to show too.
    static func string(_ text: String) -> String {
        var result = "\""
        for scalar in Sanitized.line(text).unicodeScalars {
            if scalar == "\"" || scalar == "\\" { result.unicodeScalars.append("\\") }
            result.unicodeScalars.append(scalar)
        }
        return result + "\""
    }
}
