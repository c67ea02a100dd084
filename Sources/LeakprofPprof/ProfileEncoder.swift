internal import FoundationEssentials
package import LeakprofModel

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
        return try Gzip.compress(builder.finish())
    }

    /// The same of goroutines: a profile of its own, with the sample type of Go's own goroutine profile.
    ///
    /// A stack is the statement that began them, and what they do is the label `state`.
    package static func encode(_ snapshot: GoroutineSnapshot, tool: String) throws -> [UInt8] {
        var builder = ProfileBuilder()
        builder.addGoroutineType()
        builder.add(snapshot.mappings)
        var indices: [LeakprofModel.Location: Int] = [:]
        var locations: [LeakprofModel.Location] = []
        for group in snapshot.groups where indices[group.creator] == nil {
            indices[group.creator] = locations.count
            locations.append(group.creator)
        }
        builder.add(locations)
        builder.add(snapshot.groups.map { (indices[$0.creator] ?? 0, $0.state, $0.count) })
        try builder.add(
            snapshot.facts, tool: tool, period: (ProfileType.goroutine, ProfileType.count),
            defaultType: ProfileType.goroutine)
        return try Gzip.compress(builder.finish())
    }

    /// One profile that every reader of pprof shows as the comparison of two snapshots.
    ///
    /// It holds the samples of `current`, and those of `base` with negative values and the label
    /// `pprof::base`, which is what `go tool pprof -diff_base` makes of two files: percentages are of the base.
    /// Birth epochs and variances, which belong to one snapshot, are left out. `tool` is as in
    /// ``encode(_:tool:)``.
    package static func encodeDifference(
        base: Snapshot, current: Snapshot, tool: String
    ) throws -> [UInt8] {
        // The main program of the current one comes first.
        let mappings =
            current.mappings + base.mappings.filter { !current.mappings.contains($0) }
        var builder = ProfileBuilder()
        builder.addSampleTypes()
        builder.add(mappings)
        var locations = LocationTable()
        let currentIndices = locations.add(current, mappings)
        let baseIndices = locations.add(base, mappings)
        builder.add(locations.locations)
        builder.addPlain(current.samples.map { ($0.stack.map { currentIndices[$0] }, $0.counts) })
        builder.addBase(
            base.samples.map { ($0.stack.map { baseIndices[$0] }, .zero - $0.counts) })
        try builder.add(
            SnapshotFacts(
                capturedAt: current.facts.capturedAt, period: current.facts.period), tool: tool)
        return try Gzip.compress(builder.finish())
    }
}

/// The locations of two snapshots, each once.
private struct LocationTable {
    private(set) var locations: [LeakprofModel.Location] = []
    private var indices: [LeakprofModel.Location: Int] = [:]

    /// Returns where each location of the snapshot is in the table; the snapshot's mappings are found in `mappings`.
    mutating func add(_ snapshot: Snapshot, _ mappings: [LeakprofModel.Mapping]) -> [Int] {
        let mappingIndices = snapshot.mappings.map { mappings.firstIndex(of: $0) }
        return snapshot.locations.map { original in
            var location = original
            location.mapping = original.mapping.flatMap { mappingIndices[$0] }
            if let known = indices[location] { return known }
            indices[location] = locations.count
            locations.append(location)
            return locations.count - 1
        }
    }
}

/// The JSON behind `leakprof:` in a profile's comment.
struct CommentFacts: Codable {
    var tool: String
    var process: ProcessFacts?
    var recording: RecordingFacts?
    var notes: [String]?

    static let prefix = "leakprof:"
    /// The most bytes it may have; its longest parts are a command line and 65,535 epochs.
    static let lengthLimit = 32 << 20
}

enum LabelKey {
    static let epoch = "epoch"
    static let domain = "domain"
    static let varianceObjects = "inuse_objects_variance"
    static let varianceSpace = "inuse_space_variance"
    /// What goroutines do.
    static let state = "state"
    /// Of samples that a comparison subtracts; pprof's own name for it.
    static let base = "pprof::base"
}

/// Names of sample types that are no ``SampleType``.
enum ProfileType {
    static let goroutine = "goroutine"
    static let count = "count"
}

/// Puts a profile together; the numbers are those of profile.proto.
private struct ProfileBuilder {
    // Repeated fields of the profile that grow at the same time, and the others.
    private var sampleTypes = ProtobufWriter()
    private var samples = ProtobufWriter()
    private var mappings = ProtobufWriter()
    private var locations = ProtobufWriter()
    private var functions = ProtobufWriter()
    private var stringTable = ProtobufWriter()
    private var others = ProtobufWriter()

    private var stringIndices: [String: UInt64] = [:]
    private var functionIDs: [FunctionKey: UInt64] = [:]

    /// What makes two frames instances of one function.
    private struct FunctionKey: Hashable {
        var name: String
        var systemName: String
        var file: String
        var startLine: Int64

        /// Names are long, and one of them nearly always tells functions apart.
        func hash(into hasher: inout Hasher) {
            hasher.combine(systemName.isEmpty ? name : systemName)
            hasher.combine(startLine)
        }
    }

    /// The string with index 0 is empty.
    init() { _ = index(of: "") }

    private mutating func index(of string: String) -> UInt64 {
        if let known = stringIndices[string] { return known }
        let index = UInt64(stringIndices.count)
        stringTable.text(6, string)
        stringIndices[string] = index
        return index
    }

    mutating func addSampleTypes() {
        for type in SampleType.allCases {
            let name = index(of: type.rawValue)
            let unit = index(of: type.unit)
            sampleTypes.message(1) { writer in
                writer.number(1, name)
                writer.number(2, unit)
            }
        }
    }

    mutating func addGoroutineType() {
        let name = index(of: ProfileType.goroutine)
        let unit = index(of: ProfileType.count)
        sampleTypes.message(1) { writer in
            writer.number(1, name)
            writer.number(2, unit)
        }
    }

    mutating func add(_ goroutines: [(creator: Int, state: String, count: Int64)]) {
        let key = index(of: LabelKey.state)
        for (creator, state, count) in goroutines {
            let value = index(of: state)
            samples.message(2) { writer in
                writer.numbers(1, [UInt64(creator + 1)])
                writer.numbers(2, [UInt64(bitPattern: count)])
                writer.message(3) { label in
                    label.number(1, key)
                    label.number(2, value)
                }
            }
        }
    }

    mutating func add(_ mappings: [LeakprofModel.Mapping]) {
        for (position, mapping) in mappings.enumerated() {
            let path = index(of: mapping.path)
            let buildID = index(of: mapping.buildID)
            self.mappings.message(3) { writer in
                writer.number(1, UInt64(position + 1))
                writer.number(2, mapping.start)
                writer.number(3, mapping.limit)
                writer.number(4, mapping.fileOffset)
                writer.number(5, path)
                writer.number(6, buildID)
                writer.flag(7, mapping.symbols.hasFunctions)
                writer.flag(8, mapping.symbols.hasFilenames)
                writer.flag(9, mapping.symbols.hasLineNumbers)
                writer.flag(10, mapping.symbols.hasInlineFrames)
            }
        }
    }

    mutating func add(_ locations: [LeakprofModel.Location]) {
        for (position, location) in locations.enumerated() {
            let functions = location.frames.map { functionID(of: $0) }
            self.locations.message(4) { writer in
                writer.number(1, UInt64(position + 1))
                writer.number(2, location.mapping.map { UInt64($0 + 1) } ?? 0)
                writer.number(3, location.address)
                for (frame, function) in zip(location.frames, functions) {
                    writer.message(4) { writer in
                        writer.number(1, function)
                        writer.number(2, frame.line)
                    }
                }
            }
        }
    }

    private mutating func functionID(of frame: Frame) -> UInt64 {
        let key = FunctionKey(
            name: frame.function, systemName: frame.systemName, file: frame.file,
            startLine: frame.startLine)
        if let known = functionIDs[key] { return known }
        let id = UInt64(functionIDs.count + 1)
        functionIDs[key] = id
        let name = index(of: frame.function)
        let systemName = frame.systemName.isEmpty ? name : index(of: frame.systemName)
        let file = index(of: frame.file)
        functions.message(5) { writer in
            writer.number(1, id)
            writer.number(2, name)
            writer.number(3, systemName)
            writer.number(4, file)
            writer.number(5, frame.startLine)
        }
        return id
    }

    mutating func add(_ samples: [LeakprofModel.Sample]) {
        let epoch = samples.contains { $0.epoch != 0 } ? index(of: LabelKey.epoch) : 0
        for sample in samples {
            let variances = variances(of: sample)
            let domain = sample.domain.map {
                (key: index(of: LabelKey.domain), value: index(of: $0.rawValue))
            }
            self.samples.message(2) { writer in
                writer.numbers(1, sample.stack.lazy.map { UInt64($0 + 1) })
                writer.numbers(
                    2, SampleType.allCases.lazy.map { UInt64(bitPattern: sample.counts[$0]) })
                if sample.epoch != 0 {
                    writer.label(Label(key: epoch, value: Int64(sample.epoch), unit: 0))
                }
                for label in variances { writer.label(label) }
                if let domain {
                    writer.message(3) { label in
                        label.number(1, domain.key)
                        label.number(2, domain.value)
                    }
                }
            }
        }
    }

    /// Stacks as indices of locations, and their sums.
    mutating func addPlain(_ samples: [(stack: [Int], counts: AllocationCounts)]) {
        add(samples) { _ in }
    }

    /// The same, labelled as what is subtracted.
    mutating func addBase(_ samples: [(stack: [Int], counts: AllocationCounts)]) {
        let key = index(of: LabelKey.base)
        let value = index(of: "true")
        add(samples) { writer in
            writer.message(3) { label in
                label.number(1, key)
                label.number(2, value)
            }
        }
    }

    private mutating func add(
        _ samples: [(stack: [Int], counts: AllocationCounts)],
        label: (inout ProtobufWriter) -> Void
    ) {
        for (stack, counts) in samples {
            self.samples.message(2) { writer in
                writer.numbers(1, stack.lazy.map { UInt64($0 + 1) })
                writer.numbers(2, SampleType.allCases.lazy.map { UInt64(bitPattern: counts[$0]) })
                label(&writer)
            }
        }
    }

    private mutating func variances(of sample: LeakprofModel.Sample) -> [Label] {
        guard sample.variance != .zero else { return [] }
        return [
            Label(
                key: index(of: LabelKey.varianceObjects), value: sample.variance.inuseObjects,
                unit: index(of: "count^2")),
            Label(
                key: index(of: LabelKey.varianceSpace), value: sample.variance.inuseSpace,
                unit: index(of: "bytes^2")),
        ]
    }

    mutating func add(
        _ facts: SnapshotFacts, tool: String,
        period: (type: String, unit: String) = ("space", "bytes"),
        defaultType: String = SampleType.inuseSpace.rawValue
    ) throws {
        let comment = CommentFacts(
            tool: tool, process: facts.process, recording: facts.recording,
            notes: facts.notes.isEmpty ? nil : facts.notes)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let json = String(decoding: try encoder.encode(comment), as: UTF8.self)
        let periodType = index(of: period.type)
        let periodUnit = index(of: period.unit)
        others.number(9, facts.capturedAt)
        others.number(10, facts.duration)
        others.message(11) { writer in
            writer.number(1, periodType)
            writer.number(2, periodUnit)
        }
        others.number(12, facts.period)
        others.numbers(13, [index(of: CommentFacts.prefix + json)])
        others.number(14, index(of: defaultType))
    }

    func finish() -> [UInt8] {
        var profile = ProtobufWriter()
        for part in [sampleTypes, samples, mappings, locations, functions, stringTable, others] {
            profile.append(part)
        }
        return profile.bytes
    }
}

/// A numeric label of a sample; key and unit are indices of strings.
private struct Label {
    var key: UInt64
    var value: Int64
    var unit: UInt64
}

extension ProtobufWriter {
    fileprivate mutating func label(_ label: Label) {
        message(3) { writer in
            writer.number(1, label.key)
            writer.number(3, label.value)
            writer.number(4, label.unit)
        }
    }
}
