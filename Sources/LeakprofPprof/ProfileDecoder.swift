internal import FoundationEssentials
package import LeakprofModel
internal import SwiftProtobuf

/// Reads pprof profiles, leakprof's own and those of other tools, into snapshots.
///
/// The bytes may come from anywhere: every index is checked, and a profile that would take much more memory
/// than its file is long is refused.
package enum ProfileDecoder {
    /// The most bytes a profile may have uncompressed: 1 GiB.
    package static let sizeLimit = 1 << 30

    /// How much a file of so many bytes may hold: profiles shrink to a tenth, and zeros to a thousandth.
    package static func decompressedLimit(ofFile bytes: Int) -> Int {
        min(sizeLimit, max(64 << 20, 200 * min(bytes, sizeLimit)))
    }

    package static func decode(_ bytes: [UInt8]) throws(ProfileError) -> Snapshot {
        try reader(of: bytes).snapshot()
    }

    /// Reads a profile of goroutines that leakprof wrote.
    package static func decodeGoroutines(
        _ bytes: [UInt8]
    ) throws(ProfileError) -> GoroutineSnapshot {
        try reader(of: bytes).goroutines()
    }

    private static func reader(of bytes: [UInt8]) throws(ProfileError) -> ProfileReader {
        let isCompressed = bytes.starts(with: Gzip.magic)
        let plain =
            isCompressed
            ? try Gzip.decompress(bytes, limit: decompressedLimit(ofFile: bytes.count)) : bytes
        guard plain.count <= sizeLimit else {
            throw .compression("it holds more than \(sizeLimit) bytes")
        }
        try ProfileSize(plain).check()
        var options = BinaryDecodingOptions()
        options.discardUnknownFields = true
        guard
            let profile = try? Perftools_Profiles_Profile(serializedBytes: plain, options: options),
            !profile.sampleType.isEmpty
        else { throw .unrecognized }
        return try ProfileReader(profile)
    }
}

/// Where in its table the entry with an ID is.
private struct IDIndices {
    /// Nearly every tool counts from 1: then an entry's place is its ID less one, which needs no table.
    private let count: UInt64
    private var others: [UInt64: Int] = [:]

    init(_ ids: [UInt64], _ kind: String) throws(ProfileError) {
        guard zip(ids, 1...).contains(where: { $0 != $1 }) else {
            count = UInt64(ids.count)
            return
        }
        count = 0
        for (index, id) in ids.enumerated() {
            guard id != 0 else { throw .inconsistent("a \(kind) has the id 0") }
            guard others.updateValue(index, forKey: id) == nil else {
                throw .inconsistent("two \(kind)s have the id \(id)")
            }
        }
    }

    subscript(id: UInt64) -> Int? {
        if count == 0 { return others[id] }
        return id > 0 && id <= count ? Int(id - 1) : nil
    }
}

private struct ProfileReader {
    private let profile: Perftools_Profiles_Profile
    private let mappingIndices: IDIndices
    private let locationIndices: IDIndices
    private let functionIndices: IDIndices

    init(_ profile: Perftools_Profiles_Profile) throws(ProfileError) {
        self.profile = profile
        mappingIndices = try IDIndices(profile.mapping.map(\.id), "mapping")
        locationIndices = try IDIndices(profile.location.map(\.id), "location")
        functionIndices = try IDIndices(profile.function.map(\.id), "function")
    }

    private func string(_ index: Int64) throws(ProfileError) -> String {
        guard let position = Int(exactly: index), profile.stringTable.indices.contains(position)
        else { throw .inconsistent("there is no string \(index)") }
        return profile.stringTable[position]
    }

    /// No tool writes more than a handful.
    private static let sampleTypesLimit = 64

    /// What a function, a file or a mapping is called.
    private func name(_ index: Int64) throws(ProfileError) -> String {
        try string(index).clipped(toBytes: Frame.nameLimit)
    }

    func snapshot() throws(ProfileError) -> Snapshot {
        var snapshot = Snapshot(facts: try facts())
        let columns = try valueColumns()
        for mapping in profile.mapping { snapshot.mappings.append(try read(mapping)) }
        for location in profile.location {
            snapshot.locations.append(try read(location, mappings: snapshot.mappings))
        }
        // What each report goes through: few locations with many frames each make many frames on stacks.
        let costs = snapshot.locations.map(Self.cost)
        var cost = 0
        for entry in profile.sample {
            let sample = try read(entry, columns)
            for location in sample.stack { cost = cost.saturatingAdd(costs[location]) }
            guard cost <= Self.costLimit else {
                throw .inconsistent("its stacks have more frames than can be read")
            }
            snapshot.samples.append(sample)
        }
        return snapshot
    }

    func goroutines() throws(ProfileError) -> GoroutineSnapshot {
        let types = try profile.sampleType.map { type throws(ProfileError) in
            try string(type.type)
        }
        guard types == [ProfileType.goroutine] else { throw .noGoroutines }
        var snapshot = GoroutineSnapshot(facts: try facts())
        for mapping in profile.mapping { snapshot.mappings.append(try read(mapping)) }
        for entry in profile.sample {
            // Go's own profiles have whole stacks, and not who began them.
            guard entry.value.count == 1, entry.locationID.count == 1 else { throw .noGoroutines }
            guard let index = locationIndices[entry.locationID[0]] else {
                throw .inconsistent("a sample names no location")
            }
            var state = ""
            for label in entry.label where try string(label.key) == LabelKey.state {
                state = try name(label.str)
            }
            snapshot.groups.append(
                GoroutineGroup(
                    creator: try read(profile.location[index], mappings: snapshot.mappings),
                    state: state, count: max(0, entry.value[0])))
        }
        return snapshot
    }

    /// Some billion bytes of names: seconds for every report.
    private static let costLimit = 1 << 34

    private static func cost(of location: LeakprofModel.Location) -> Int {
        location.frames.reduce(0) { $0 + 64 + $1.function.utf8.count }
    }

    /// Which of a sample's values is which sum.
    ///
    /// Tools that know only one moment call them `objects` and `space`.
    private func valueColumns() throws(ProfileError) -> [SampleType: Int] {
        var columns: [SampleType: Int] = [:]
        var names: [String] = []
        guard profile.sampleType.count <= Self.sampleTypesLimit else {
            throw .inconsistent("it has \(profile.sampleType.count) sample types")
        }
        for (column, valueType) in profile.sampleType.enumerated() {
            let type = try string(valueType.type).clipped(toBytes: 100)
            names.append("\(type)/\(try string(valueType.unit).clipped(toBytes: 100))")
            let known =
                switch type {
                case "objects": SampleType.inuseObjects
                case "space": SampleType.inuseSpace
                default: SampleType(rawValue: type)
                }
            if let known { columns[known] = column }
        }
        guard columns[.inuseSpace] != nil || columns[.allocSpace] != nil else {
            throw .notAHeapProfile(sampleTypes: names)
        }
        return columns
    }

    private func read(
        _ mapping: Perftools_Profiles_Mapping
    ) throws(ProfileError) -> LeakprofModel.Mapping {
        LeakprofModel.Mapping(
            start: mapping.memoryStart, limit: mapping.memoryLimit, fileOffset: mapping.fileOffset,
            path: try name(mapping.filename), buildID: try name(mapping.buildID),
            symbols: SymbolCoverage(
                hasFunctions: mapping.hasFunctions_p, hasFilenames: mapping.hasFilenames_p,
                hasLineNumbers: mapping.hasLineNumbers_p,
                hasInlineFrames: mapping.hasInlineFrames_p))
    }

    private func read(
        _ entry: Perftools_Profiles_Location, mappings: [LeakprofModel.Mapping]
    ) throws(ProfileError) -> LeakprofModel.Location {
        var location = LeakprofModel.Location(address: entry.address)
        if entry.mappingID != 0 {
            guard let mapping = mappingIndices[entry.mappingID] else {
                throw .inconsistent("location \(entry.id) names no mapping")
            }
            location.mapping = mapping
        }
        for line in entry.line {
            guard let index = functionIndices[line.functionID] else {
                throw .inconsistent("location \(entry.id) names no function")
            }
            let function = profile.function[index]
            let name = try name(function.name)
            let systemName = try self.name(function.systemName)
            location.frames.append(
                Frame(
                    function: name.isEmpty ? systemName : name,
                    systemName: systemName == name ? "" : systemName,
                    file: try self.name(function.filename), line: line.line,
                    startLine: function.startLine))
        }
        if location.frames.isEmpty || location.frames.contains(where: { $0.function.isEmpty }) {
            let mapping = location.mapping.map { mappings[$0] }
            location.frames = [.unsymbolized(address: entry.address, in: mapping)]
        }
        return location
    }

    private func read(
        _ entry: Perftools_Profiles_Sample, _ columns: [SampleType: Int]
    ) throws(ProfileError) -> LeakprofModel.Sample {
        guard entry.value.count == profile.sampleType.count else {
            throw .inconsistent("a sample has \(entry.value.count) values")
        }
        var sample = LeakprofModel.Sample(
            stack: [],
            counts: AllocationCounts(
                allocObjects: columns[.allocObjects].map { entry.value[$0] } ?? 0,
                allocSpace: columns[.allocSpace].map { entry.value[$0] } ?? 0,
                inuseObjects: columns[.inuseObjects].map { entry.value[$0] } ?? 0,
                inuseSpace: columns[.inuseSpace].map { entry.value[$0] } ?? 0))
        sample.stack.reserveCapacity(entry.locationID.count)
        for id in entry.locationID {
            guard let index = locationIndices[id] else {
                throw .inconsistent("a sample names no location")
            }
            sample.stack.append(index)
        }
        for label in entry.label {
            switch try string(label.key) {
            case LabelKey.epoch: sample.epoch = UInt32(clamping: label.num)
            case LabelKey.domain: sample.domain = MemoryDomain(rawValue: try string(label.str))
            case LabelKey.varianceObjects: sample.variance.inuseObjects = max(0, label.num)
            case LabelKey.varianceSpace: sample.variance.inuseSpace = max(0, label.num)
            default: break
            }
        }
        return sample
    }

    private func facts() throws(ProfileError) -> SnapshotFacts {
        var facts = SnapshotFacts(
            capturedAt: profile.timeNanos, duration: profile.durationNanos, period: profile.period)
        var isRead = false
        for index in profile.comment {
            let comment = try string(index)
            guard comment.hasPrefix(CommentFacts.prefix) else { continue }
            guard !isRead else { throw .inconsistent("it has two leakprof comments") }
            isRead = true
            guard comment.utf8.count <= CommentFacts.lengthLimit else {
                throw .inconsistent("its leakprof comment is longer than any")
            }
            let json = Data(comment.utf8.dropFirst(CommentFacts.prefix.utf8.count))
            guard let read = try? JSONDecoder().decode(CommentFacts.self, from: json) else {
                throw .inconsistent("its leakprof comment is not what this version writes")
            }
            facts.process = read.process
            facts.recording = read.recording
            facts.notes = read.notes ?? []
        }
        return facts
    }
}
