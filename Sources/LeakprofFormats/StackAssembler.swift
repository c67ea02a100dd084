internal import LeakprofModel
internal import LeakprofPprof

/// Puts a snapshot together from stacks, each frame and each address once.
///
/// What it refuses is far more than any heap has call stacks, and would take memory or time without end.
struct StackAssembler {
    private(set) var snapshot = Snapshot()
    private var frameIndices: [NamedFrame: Int] = [:]
    private var addressIndices: [UInt64: Int] = [:]
    private var moduleIndices: [String: Int] = [:]
    private var costs: [Int] = []
    private var cost = 0
    private var entries = 0

    private static let samplesLimit = 1 << 21
    private static let locationsLimit = 1 << 20
    /// Frames on all stacks together, as in ProfileSize.
    private static let entriesLimit = 1 << 26
    /// What all frames of all stacks may cost, as in ProfileDecoder.
    private static let costLimit = 1 << 34
    /// What is known only later, such as the name for an address.
    private static let costOfFrame = 64

    private struct NamedFrame: Hashable {
        var frame: Frame
        var module: String
    }

    /// The index of the location for a frame whose name is known.
    ///
    /// `module` is the path of the program or library it is in; empty when that is unknown.
    mutating func location(
        of frame: Frame, in module: String = ""
    ) throws(ProfileError) -> Int {
        let key = NamedFrame(frame: frame, module: module)
        if let known = frameIndices[key] { return known }
        var location = Location(address: 0, frames: [frame])
        if !module.isEmpty { location.mapping = mapping(module) }
        let index = try append(location)
        frameIndices[key] = index
        return index
    }

    /// The index of the location for a return address, without frames: it is of the byte before.
    mutating func location(ofReturnAddress address: UInt64) throws(ProfileError) -> Int {
        if let known = addressIndices[address] { return known }
        let index = try append(Location(address: address > 0 ? address - 1 : 0))
        addressIndices[address] = index
        return index
    }

    private mutating func append(_ location: Location) throws(ProfileError) -> Int {
        guard snapshot.locations.count < Self.locationsLimit else {
            throw .inconsistent("it has more frames than can be read")
        }
        snapshot.locations.append(location)
        costs.append(
            Self.costOfFrame + location.frames.reduce(0) { $0 + $1.function.utf8.count })
        return snapshot.locations.count - 1
    }

    /// A mapping that is known by its path alone.
    private mutating func mapping(_ module: String) -> Int {
        if let known = moduleIndices[module] { return known }
        let index = snapshot.mappings.count
        snapshot.mappings.append(Mapping(start: 0, limit: 0, path: module))
        moduleIndices[module] = index
        return index
    }

    /// Adds blocks at a stack of locations, leaf first.
    mutating func add(
        _ stack: [Int], _ counts: AllocationCounts, _ variance: SamplingVariance = .zero
    ) throws(ProfileError) {
        for index in stack { cost = cost.saturatingAdd(costs[index]) }
        entries += stack.count
        guard snapshot.samples.count < Self.samplesLimit, entries <= Self.entriesLimit,
            cost <= Self.costLimit
        else {
            throw .inconsistent("it has more stacks than can be read")
        }
        snapshot.samples.append(Sample(stack: stack, counts: counts, variance: variance))
    }

    /// Says in which of `mappings` the addresses lie; of two that overlap, in the later one.
    mutating func setMappings(_ mappings: [Mapping]) {
        snapshot.mappings = mappings
        let ordered = mappings.indices.sorted { mappings[$0].start < mappings[$1].start }
        let starts = ordered.map { mappings[$0].start }
        for index in snapshot.locations.indices {
            let address = snapshot.locations[index].address
            let following = starts.partitioningIndex { $0 > address }
            guard following > 0 else { continue }
            let mapping = ordered[following - 1]
            if address < mappings[mapping].limit { snapshot.locations[index].mapping = mapping }
        }
    }

    mutating func setPeriod(_ bytes: Int64) { snapshot.facts.period = bytes }

    mutating func note(_ text: String) { snapshot.facts.notes.append(text) }
}

extension Array {
    /// The first index whose element satisfies `predicate`; all behind it do too.
    fileprivate func partitioningIndex(where predicate: (Element) -> Bool) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if predicate(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

extension Frame {
    /// A frame as text tools write one: `NAME`, `NAME (FILE:LINE)` or `NAME (FILE)`.
    ///
    /// What stands in parentheses is a file if it ends in a line or has a dot, and no space; otherwise it is
    /// part of the name, as the parameters of a function are.
    init(text: String) {
        let name = text.clipped(toBytes: Frame.nameLimit)
        self.init(function: name.isEmpty ? "[unknown]" : name)
        guard text.utf8.last == UInt8(ascii: ")"),
            let open = text.utf8.lastIndex(of: UInt8(ascii: "(")), open > text.startIndex
        else { return }
        let before = text.utf8.index(before: open)
        let place = text.utf8[text.utf8.index(after: open)...].dropLast()
        guard text.utf8[before] == UInt8(ascii: " "), before > text.startIndex, !place.isEmpty,
            !place.contains(UInt8(ascii: " "))
        else { return }
        let colon = place.lastIndex(of: UInt8(ascii: ":"))
        let line = colon.flatMap { Int64(String(Substring(place[place.index(after: $0)...]))) }
        guard line.map({ $0 >= 0 }) ?? place.contains(UInt8(ascii: ".")) else { return }
        let path = line == nil ? place : colon.map { place[..<$0] } ?? place
        function = String(Substring(text.utf8[..<before])).clipped(toBytes: Frame.nameLimit)
        file = String(Substring(path)).clipped(toBytes: Frame.nameLimit)
        self.line = line ?? 0
    }
}
