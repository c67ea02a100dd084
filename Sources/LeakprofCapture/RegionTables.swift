internal import CLeakprofLayout

/// Private copies of a region's tables, taken so that whatever an earlier copy refers to is complete in
/// the later ones (see region_layout.h).
struct RegionTables {
    /// As it was when the copying began.
    let header: RegionHeader
    let counters: [lp_counter]
    /// Whether the record of this index continues a counter.
    private let isWeight: [Bool]
    let nodes: [lp_node]
    let modules: [lp_module]
    let strings: [UInt8]
    /// The end of the last table, from which places in it are counted.
    private let heap: [UInt8]
    let epochs: [lp_epoch]
    let statistics: [UInt64]
    let intervals: [UInt64]
    /// Counters that stayed inconsistent however often they were read.
    let tornCounters: Int

    /// How often a counter is read again that shows more freed than allocated.
    private static let attempts = 3

    init(of file: borrowing RegionFile, header: RegionHeader) throws(CaptureError) {
        self.header = header
        let counterCount = header.used(header.raw.counters_used, of: header.counters)
        var counters = try file.readRecords(
            lp_counter.self, at: header.counters.offset, count: counterCount)
        // Weights lie in records of the same table, so they were copied with it.
        var isWeight = [Bool](repeating: false, count: counters.count)
        for counter in counters where counter.sampled != 0 && counter.sampled < counters.count {
            isWeight[Int(counter.sampled)] = true
        }
        var torn = 0
        for index in counters.indices where counters[index].epoch != 0 && !isWeight[index] {
            for _ in 0..<Self.attempts where !counters[index].isPlausible {
                let again = try file.readRecords(
                    lp_counter.self,
                    at: header.counters.offset + index * MemoryLayout<lp_counter>.stride, count: 1)
                counters[index] = again[0]
            }
            if !counters[index].isPlausible { torn += 1 }
        }
        self.counters = counters
        self.isWeight = isWeight
        tornCounters = torn

        // What the counters refer to may have been added since the header was read.
        let later = try RegionHeader(of: file)
        nodes = try file.readRecords(
            lp_node.self, at: header.nodes.offset,
            count: header.used(later.raw.nodes_used, of: header.nodes))
        let table = header.counters.capacity * MemoryLayout<lp_counter>.stride
        let heapBytes = min(Int(later.raw.heap_used) * 8, table)
        heap = try file.read(at: header.counters.offset + table - heapBytes, count: heapBytes)
        modules = try file.readRecords(
            lp_module.self, at: header.modules.offset,
            count: header.used(
                later.raw.modules_used, of: header.modules, limit: RegionHeader.modulesLimit))
        strings = try file.read(
            at: header.strings.offset,
            count: header.used(later.raw.strings_used, of: header.strings))
        epochs = try file.readRecords(
            lp_epoch.self, at: header.epochs.offset,
            count: header.used(
                header.raw.epoch, of: header.epochs, limit: RegionHeader.epochsLimit))
        statistics = try file.readRecords(
            UInt64.self, at: header.statistics.offset, count: header.statistics.capacity)
        intervals = try file.readRecords(
            UInt64.self, at: header.intervals.offset, count: header.intervals.capacity)
    }

    /// The indices of the records that are counters.
    var counterIndices: some Sequence<Int> { counters.indices.lazy.filter { !isWeight[$0] } }

    /// The sums of the weights of a counter that was sampled.
    func sampled(_ counter: lp_counter) -> lp_sampled? {
        let index = Int(counter.sampled)
        guard index != 0, counters.indices.contains(index) else { return nil }
        return unsafeBitCast(counters[index], to: lp_sampled.self)
    }

    /// The longest path the kernel takes (PATH_MAX).
    ///
    /// Strings may overlap, so that many long ones fit a small table.
    private static let stringLimit = 4096

    /// The strings' bytes from `offset`, as text; empty when they are not there, or are no path.
    func string(at offset: UInt32, length: UInt32) -> String {
        String(decoding: bytes(at: offset, length: length), as: UTF8.self)
    }

    func bytes(at offset: UInt32, length: UInt32) -> ArraySlice<UInt8> {
        guard Int(offset) <= strings.count, Int(length) <= strings.count - Int(offset),
            length <= Self.stringLimit
        else { return [] }
        return strings[Int(offset)..<Int(offset) + Int(length)]
    }

    /// A record of the heap and the bytes that follow it; `nil` when there is none at that place.
    func heapRecord<Record: BitwiseCopyable>(
        _ type: Record.Type, at position: UInt32
    ) -> (record: Record, bytes: ArraySlice<UInt8>)? {
        let distance = Int(position) * 8
        let size = MemoryLayout<Record>.size
        guard distance <= heap.count, distance >= size else { return nil }
        let start = heap.count - distance
        let record = heap.withUnsafeBytes {
            $0.loadUnaligned(fromByteOffset: start, as: Record.self)
        }
        return (record, heap[(start + size)...])
    }

    func statistic(_ index: Int32) -> UInt64 {
        statistics.indices.contains(Int(index)) ? statistics[Int(index)] : 0
    }
}

extension lp_node {
    var frame: UInt64 { UInt64(frame_high) << 32 | UInt64(frame_low) }
}

extension lp_counter {
    /// What was freed by the owner and by others.
    var allFreedObjects: UInt64 { freed_objects &+ foreign_freed_objects }
    var allFreedBytes: UInt64 { freed_bytes &+ foreign_freed_bytes }

    /// Whether no more was freed than allocated, and no more retired than freed.
    fileprivate var isPlausible: Bool {
        retired_objects <= allFreedObjects && allFreedObjects <= allocated_objects
            && retired_bytes <= allFreedBytes && allFreedBytes <= allocated_bytes
    }
}
