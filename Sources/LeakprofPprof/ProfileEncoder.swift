internal import FoundationEssentials
package import LeakprofModel
internal import SwiftProtobuf

/// Writes snapshots as gzipped pprof profiles, the file format of leakprof.
///
/// What pprof has a place for goes there. Birth epochs and sampling variances are numeric labels, and
/// the facts are one comment, `leakprof:` and JSON. The same snapshot always gives the same bytes.
package enum ProfileEncoder {
    /// The profile's bytes; `tool` is the name and version of the program that writes, for whoever
    /// reads the file later.
    package static func encode(_ snapshot: Snapshot, tool: String) throws -> [UInt8] {
        var builder = ProfileBuilder()
        builder.addSampleTypes()
        builder.add(snapshot.mappings)
        builder.add(snapshot.locations)
        builder.add(snapshot.samples)
        try builder.add(snapshot.facts, tool: tool)
        let bytes: [UInt8] = try builder.finish().serializedBytes()
        return try Gzip.compress(bytes)
    }
}

/// The JSON behind `leakprof:` in a profile's comment.
struct CommentFacts: Codable {
    var tool: String
    var process: ProcessFacts?
    var recording: RecordingFacts?
    var notes: [String]?

    static let prefix = "leakprof:"
}

enum LabelKey {
    static let epoch = "epoch"
    static let varianceObjects = "inuse_objects_variance"
    static let varianceSpace = "inuse_space_variance"
}

private struct ProfileBuilder {
    private var profile = Perftools_Profiles_Profile()
    private var strings: [String: Int64] = ["": 0]
    private var functions: [FunctionKey: UInt64] = [:]

    /// What makes two frames instances of one function.
    private struct FunctionKey: Hashable {
        var name: Int64
        var systemName: Int64
        var file: Int64
        var startLine: Int64
    }

    init() { profile.stringTable = [""] }

    private mutating func index(of string: String) -> Int64 {
        if let known = strings[string] { return known }
        let index = Int64(profile.stringTable.count)
        profile.stringTable.append(string)
        strings[string] = index
        return index
    }

    private mutating func valueType(_ type: String, _ unit: String) -> Perftools_Profiles_ValueType
    {
        var value = Perftools_Profiles_ValueType()
        value.type = index(of: type)
        value.unit = index(of: unit)
        return value
    }

    mutating func addSampleTypes() {
        for type in SampleType.allCases {
            profile.sampleType.append(valueType(type.rawValue, type.unit))
        }
        profile.defaultSampleType = index(of: SampleType.inuseSpace.rawValue)
        profile.periodType = valueType("space", "bytes")
    }

    mutating func add(_ mappings: [LeakprofModel.Mapping]) {
        for (position, mapping) in mappings.enumerated() {
            var entry = Perftools_Profiles_Mapping()
            entry.id = UInt64(position + 1)
            entry.memoryStart = mapping.start
            entry.memoryLimit = mapping.limit
            entry.fileOffset = mapping.fileOffset
            entry.filename = index(of: mapping.path)
            entry.buildID = index(of: mapping.buildID)
            entry.hasFunctions_p = mapping.symbols.hasFunctions
            entry.hasFilenames_p = mapping.symbols.hasFilenames
            entry.hasLineNumbers_p = mapping.symbols.hasLineNumbers
            entry.hasInlineFrames_p = mapping.symbols.hasInlineFrames
            profile.mapping.append(entry)
        }
    }

    mutating func add(_ locations: [LeakprofModel.Location]) {
        for (position, location) in locations.enumerated() {
            var entry = Perftools_Profiles_Location()
            entry.id = UInt64(position + 1)
            entry.mappingID = location.mapping.map { UInt64($0 + 1) } ?? 0
            entry.address = location.address
            for frame in location.frames {
                var line = Perftools_Profiles_Line()
                line.functionID = functionID(of: frame)
                line.line = frame.line
                entry.line.append(line)
            }
            profile.location.append(entry)
        }
    }

    private mutating func functionID(of frame: Frame) -> UInt64 {
        let name = index(of: frame.function)
        let key = FunctionKey(
            name: name,
            systemName: frame.systemName.isEmpty ? name : index(of: frame.systemName),
            file: index(of: frame.file), startLine: frame.startLine)
        if let known = functions[key] { return known }
        var entry = Perftools_Profiles_Function()
        entry.id = UInt64(profile.function.count + 1)
        entry.name = key.name
        entry.systemName = key.systemName
        entry.filename = key.file
        entry.startLine = key.startLine
        profile.function.append(entry)
        functions[key] = entry.id
        return entry.id
    }

    mutating func add(_ samples: [LeakprofModel.Sample]) {
        for sample in samples {
            var entry = Perftools_Profiles_Sample()
            entry.locationID = sample.stack.map { UInt64($0 + 1) }
            entry.value = SampleType.allCases.map { sample.counts[$0] }
            if sample.epoch != 0 {
                entry.label.append(label(LabelKey.epoch, Int64(sample.epoch), unit: ""))
            }
            if sample.variance != .zero {
                entry.label.append(
                    label(LabelKey.varianceObjects, sample.variance.inuseObjects, unit: "count^2"))
                entry.label.append(
                    label(LabelKey.varianceSpace, sample.variance.inuseSpace, unit: "bytes^2"))
            }
            profile.sample.append(entry)
        }
    }

    private mutating func label(
        _ key: String, _ number: Int64, unit: String
    ) -> Perftools_Profiles_Label {
        var label = Perftools_Profiles_Label()
        label.key = index(of: key)
        label.num = number
        label.numUnit = index(of: unit)
        return label
    }

    mutating func add(_ facts: SnapshotFacts, tool: String) throws {
        profile.timeNanos = facts.capturedAt
        profile.durationNanos = facts.duration
        profile.period = facts.period
        let comment = CommentFacts(
            tool: tool, process: facts.process, recording: facts.recording,
            notes: facts.notes.isEmpty ? nil : facts.notes)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let json = String(decoding: try encoder.encode(comment), as: UTF8.self)
        profile.comment.append(index(of: CommentFacts.prefix + json))
    }

    func finish() -> Perftools_Profiles_Profile { profile }
}
