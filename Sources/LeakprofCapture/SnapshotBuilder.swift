internal import CLeakprofLayout
internal import LeakprofModel

/// Turns the copied tables of a region into a snapshot without symbols.
struct SnapshotBuilder {
    private let tables: RegionTables
    private var snapshot = Snapshot()
    /// By what a node holds: return address and module.
    private var locationIndices: [UInt64: Int] = [:]
    /// By node, for those that were met, since most are on many stack traces; else -1.
    private var nodeLocations: [Int32]
    /// By leaf node and epoch.
    private var sampleIndices: [UInt64: Int] = [:]
    /// By leaf node, a sample with its stack trace; else -1.
    private var leafSamples: [Int32]
    /// The stack trace that is being put together.
    private var stackInMaking: [Int] = []
    private var placeholderIndices: [Placeholder: Int] = [:]
    private var python: PythonFrames
    /// Python frames with one name and line are one location, whichever instruction of that line it is.
    private var pythonLocations: [Frame: Int] = [:]
    /// What stands for Python's code, once there is a frame of it.
    private var pythonMapping: Int?
    /// The module whose frame was met where Python frames begin: the interpreter.
    ///
    /// Its frames may not have been recorded; who called it is not taken for it.
    private(set) var interpreter: Int?
    /// How many more frames the stacks may have together.
    ///
    /// Nodes are shared by stacks and frames are not, so few nodes can make very many frames.
    private var framesLeft: Int
    /// Records that refer to what is not there, or stayed inconsistent.
    private(set) var damagedRecords: Int

    init(_ tables: RegionTables) {
        self.tables = tables
        damagedRecords = tables.tornCounters
        nodeLocations = [Int32](repeating: -1, count: tables.nodes.count)
        leafSamples = nodeLocations
        python = PythonFrames(tables)
        framesLeft = min(max(Int(tables.header.raw.region_bytes), 1 << 22), 1 << 27)
    }

    /// The mappings, locations and samples; the facts are the caller's to add.
    consuming func build() -> (snapshot: Snapshot, damagedRecords: Int, interpreter: String?) {
        // Module 1 is the program; record 0 means none.
        for module in tables.modules.dropFirst() { snapshot.mappings.append(mapping(module)) }
        snapshot.samples.reserveCapacity(tables.counters.count)
        sampleIndices.reserveCapacity(tables.counters.count)
        for index in tables.counterIndices { addSample(tables.counters[index]) }
        return (snapshot, damagedRecords, interpreter.map { snapshot.mappings[$0].path })
    }

    /// A snapshot of one block that is counted by the counter of this index; `nil` when there is no such counter.
    consuming func build(blockOf counter: Int, bytes: UInt64) -> Snapshot? {
        guard tables.counters.indices.contains(counter), tables.counters[counter].epoch != 0
        else { return nil }
        for module in tables.modules.dropFirst() { snapshot.mappings.append(mapping(module)) }
        let size = Int64(clamping: bytes)
        add(
            AllocationCounts(allocObjects: 1, allocSpace: size, inuseObjects: 1, inuseSpace: size),
            stack: tables.counters[counter].stack, epoch: UInt32(tables.counters[counter].epoch))
        return snapshot
    }

    private func mapping(_ module: lp_module) -> Mapping {
        // A record that was never finished keeps its place, so that indices stay right.
        guard module.published == 1, module.end > module.start else {
            return Mapping(start: 0, limit: 0, path: "")
        }
        let path = tables.string(at: module.path_off, length: module.path_length)
        let buildID = tables.bytes(at: module.build_id_off, length: module.build_id_length)
        return Mapping(
            start: module.start, limit: module.end, path: absolute(path), buildID: buildID.hex)
    }

    /// Paths given to dlopen(3) may be relative to the target's working directory.
    private func absolute(_ path: String) -> String {
        guard path.contains("/"), !path.hasPrefix("/") else { return path }
        let header = tables.header.raw
        let directory = tables.string(
            at: header.directory_off, length: header.directory_length)
        return directory.isEmpty ? path : directory + "/" + path
    }

    private mutating func addSample(_ counter: lp_counter) {
        guard counter.epoch != 0 else { return }
        var retired = AllocationCounts(
            allocObjects: Int64(clamping: counter.retired_objects),
            allocSpace: Int64(clamping: counter.retired_bytes))
        let allocatedObjects = counter.allocated_objects.saturatingSubtract(counter.retired_objects)
        let allocatedBytes = counter.allocated_bytes.saturatingSubtract(counter.retired_bytes)
        var counts = AllocationCounts(
            allocObjects: Int64(clamping: allocatedObjects),
            allocSpace: Int64(clamping: allocatedBytes),
            inuseObjects: Int64(
                clamping: counter.allocated_objects.saturatingSubtract(counter.allFreedObjects)),
            inuseSpace: Int64(
                clamping: counter.allocated_bytes.saturatingSubtract(counter.allFreedBytes)))
        var variance = SamplingVariance.zero
        if let sampled = tables.sampled(counter) {
            retired += sampled.retiredCounts
            counts += sampled.extraCounts
            variance = sampled.variance
        }
        // What is retired is of several epochs, and nothing of it is left.
        if counter.retired_objects != 0 { add(retired, stack: counter.stack, epoch: 0) }
        if allocatedObjects != 0 {
            add(counts, variance, stack: counter.stack, epoch: UInt32(counter.epoch))
        }
    }

    /// Adds to the sample of this stack and epoch; a record per thread may have been kept.
    private mutating func add(
        _ counts: AllocationCounts, _ variance: SamplingVariance = .zero, stack leaf: UInt32,
        epoch: UInt32
    ) {
        let key = UInt64(leaf) << 32 | UInt64(epoch)
        if let known = sampleIndices[key] {
            snapshot.samples[known].counts += counts
            snapshot.samples[known].variance += variance
        } else {
            let stack = stack(of: leaf)
            sampleIndices[key] = snapshot.samples.count
            if tables.nodes.indices.contains(Int(leaf)) {
                leafSamples[Int(leaf)] = Int32(snapshot.samples.count)
            }
            snapshot.samples.append(
                Sample(
                    stack: stack, epoch: epoch, counts: counts, variance: variance,
                    domain: domain(of: leaf)))
        }
    }

    /// Which allocator gave out the blocks that were counted at the node `leaf`.
    private func domain(of leaf: UInt32) -> MemoryDomain? {
        guard tables.header.raw.python != 0 else { return nil }
        guard tables.nodes.indices.contains(Int(leaf)) else { return .malloc }
        return MemoryDomain(node: tables.nodes[Int(leaf)]) ?? .malloc
    }

    /// The locations from the node `leaf` to the outermost frame.
    private mutating func stack(of leaf: UInt32) -> [Int] {
        guard leaf != 0 else { return [placeholder(.noStack)] }
        // Samples of other epochs share the stack trace.
        if tables.nodes.indices.contains(Int(leaf)), leafSamples[Int(leaf)] >= 0 {
            return snapshot.samples[Int(leafSamples[Int(leaf)])].stack
        }
        stackInMaking.removeAll(keepingCapacity: true)
        var index = Int(leaf)
        if leaf != 0, tables.nodes.indices.contains(index),
            MemoryDomain(node: tables.nodes[index]) != nil
        {
            index = Int(tables.nodes[index].parent)
        }
        var isBehindPython = false
        // A chain longer than any the shim makes is a circle.
        while index != 0, stackInMaking.count < Int(LP_MAX_TRACE), framesLeft > 0 {
            guard tables.nodes.indices.contains(index), tables.nodes[index].frame != 0 else {
                break
            }
            framesLeft -= 1
            let location = location(ofNode: index)
            stackInMaking.append(location)
            let isPython = PythonFrames.isPython(tables.nodes[index].frame)
            if isBehindPython && !isPython && interpreter == nil,
                let mapping = snapshot.locations[location].mapping,
                isInterpreter(snapshot.mappings[mapping].name)
            {
                interpreter = mapping
            }
            isBehindPython = isPython
            index = Int(tables.nodes[index].parent)
        }
        if stackInMaking.isEmpty && index == 0 { stackInMaking.append(placeholder(.noStack)) }
        if index != 0 {
            damagedRecords += 1
            stackInMaking.append(placeholder(.damaged))
        }
        // Array(stackInMaking) would be the same array, with room for the deepest trace so far.
        return stackInMaking.withUnsafeBufferPointer { Array($0) }
    }

    /// Whether a file of this name can consist of an interpreter: `python3.11`, `libpython3.11.so.1.0`.
    private func isInterpreter(_ name: String) -> Bool {
        name.hasPrefix("python") || name.hasPrefix("libpython")
    }

    private mutating func location(ofNode index: Int) -> Int {
        if nodeLocations[index] >= 0 { return Int(nodeLocations[index]) }
        let location = location(of: tables.nodes[index].frame)
        nodeLocations[index] = Int32(location)
        return location
    }

    private mutating func location(of frame: UInt64) -> Int {
        switch frame {
        case UInt64(LP_FRAME_TRUNCATED_DEPTH): return placeholder(.cutAtDepth)
        case UInt64(LP_FRAME_TRUNCATED_UNWIND): return placeholder(.cutAtUnwind)
        case UInt64(LP_FRAME_GUESSED): return placeholder(.guessed)
        default: break
        }
        if let known = locationIndices[frame] { return known }
        if PythonFrames.isPython(frame) {
            let index = location(ofPython: frame)
            locationIndices[frame] = index
            return index
        }
        let module = Int(frame >> UInt64(LP_ADDRESS_BITS))
        let address = (frame & LP_ADDRESS_MASK) &- 1
        // Behind those of the region there may be Python's.
        let isKnown = (1..<max(1, tables.modules.count)).contains(module)
        let index = snapshot.locations.count
        snapshot.locations.append(
            Location(address: address, mapping: isKnown ? module - 1 : nil))
        locationIndices[frame] = index
        return index
    }

    private mutating func location(ofPython word: UInt64) -> Int {
        let frame = python.frame(word) ?? Frame(function: Placeholder.unknownPython.rawValue)
        if let known = pythonLocations[frame] { return known }
        if pythonMapping == nil {
            let facts = PythonFacts(header: tables.header.raw, interpreter: nil)
            pythonMapping = snapshot.mappings.count
            snapshot.mappings.append(.python(version: facts?.version ?? "?"))
        }
        let index = snapshot.locations.count
        snapshot.locations.append(Location(address: 0, mapping: pythonMapping, frames: [frame]))
        pythonLocations[frame] = index
        return index
    }

    private mutating func placeholder(_ placeholder: Placeholder) -> Int {
        if let known = placeholderIndices[placeholder] { return known }
        let index = snapshot.locations.count
        snapshot.locations.append(placeholder.location)
        placeholderIndices[placeholder] = index
        return index
    }
}

extension lp_sampled {
    /// What the weights add to the counts of the recorded blocks themselves.
    ///
    /// The sums wrap, so only the differences are meaningful.
    fileprivate var extraCounts: AllocationCounts {
        let liveObjects = Int64(
            bitPattern: allocated_extra_objects &- freed_extra_objects)
        let liveBytes = Int64(bitPattern: allocated_extra_bytes &- freed_extra_bytes)
        let objects = allocated_extra_objects.saturatingSubtract(retired_extra_objects)
        let bytes = allocated_extra_bytes.saturatingSubtract(retired_extra_bytes)
        return AllocationCounts(
            allocObjects: Int64(clamping: objects).dividedByOne,
            allocSpace: Int64(clamping: bytes),
            inuseObjects: max(0, liveObjects).dividedByOne, inuseSpace: max(0, liveBytes))
    }

    /// What the weights add to what was counted in earlier epochs.
    fileprivate var retiredCounts: AllocationCounts {
        AllocationCounts(
            allocObjects: Int64(clamping: retired_extra_objects).dividedByOne,
            allocSpace: Int64(clamping: retired_extra_bytes))
    }

    fileprivate var variance: SamplingVariance {
        let objects = Int64(bitPattern: allocated_variance_objects &- freed_variance_objects)
        let bytes = Int64(bitPattern: allocated_variance_bytes &- freed_variance_bytes)
        return SamplingVariance(inuseObjects: max(0, objects), inuseSpace: max(0, bytes))
    }
}

extension Int64 {
    /// From 1/256 objects to objects, rounded.
    fileprivate var dividedByOne: Int64 {
        let one = Int64(LP_EXTRA_OBJECTS_ONE)
        return self / one + (self % one >= one / 2 ? 1 : 0)
    }
}

extension Sequence<UInt8> {
    /// Two lowercase hexadecimal digits per byte.
    var hex: String {
        map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}

extension MemoryDomain {
    /// The domain that a marker at a trace's leaf stands for; `nil` for a frame.
    fileprivate init?(node: lp_node) {
        switch node.frame {
        case UInt64(LP_FRAME_DOMAIN_RAW): self = .raw
        case UInt64(LP_FRAME_DOMAIN_MEM): self = .mem
        case UInt64(LP_FRAME_DOMAIN_OBJECT): self = .object
        default: return nil
        }
    }
}
