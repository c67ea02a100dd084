import CLeakprofLayout
import LeakprofTestSupport

/// A region cut down to what is used of it, so that most of what a fuzzer changes means something.
struct RegionInput {
    private let region: [UInt8]
    private var header: lp_header
    private var tables: [UInt8] = []

    /// The bytes that a fuzzer begins with, from those of a whole region.
    static func compacted(_ region: [UInt8]) -> [UInt8] {
        var input = RegionInput(region)
        return input.compact()
    }

    private init(_ region: [UInt8]) {
        self.region = region
        header = Self.records(region, at: 0, count: 1)[0]
    }

    private mutating func compact() -> [UInt8] {
        header.statistics_off = copy(
            UInt64.self, at: header.statistics_off, count: UInt32(LP_STAT_COUNT))
        header.intervals_off = copy(
            UInt64.self, at: header.intervals_off, count: UInt32(LP_INTERVALS))
        header.epochs_off = copy(lp_epoch.self, at: header.epochs_off, count: header.epochs_used)
        header.epochs_capacity = header.epochs_used
        // Index 0 means none, and is not counted.
        header.nodes_off = copy(lp_node.self, at: header.nodes_off, count: header.nodes_used)
        header.nodes_capacity = header.nodes_used
        compactCountersAndHeap()
        // The analyzer has no use for the hash table.
        header.buckets_capacity = 0
        header.buckets_off = header.statistics_off
        compactModules()
        header.region_bytes = UInt64(MemoryLayout<lp_header>.size + tables.count)
        return withUnsafeBytes(of: header) { Array($0) } + tables
    }

    /// The heap ends where the table of the counters does, and begins where a counter would.
    private mutating func compactCountersAndHeap() {
        let stride = UInt64(MemoryLayout<lp_counter>.stride)
        let end = header.counters_off + UInt64(header.counters_capacity) * stride
        let heapCounters = UInt32((UInt64(header.heap_used) * 8 + stride - 1) / stride)
        let counters = copy(
            lp_counter.self, at: header.counters_off, count: header.counters_used)
        _ = copy(
            lp_counter.self, at: end - UInt64(heapCounters) * stride, count: heapCounters)
        header.counters_off = counters
        header.counters_capacity = header.counters_used + heapCounters
    }

    /// Paths lose their directories, which are those of whoever made the input.
    private mutating func compactModules() {
        var modules: [lp_module] = Self.records(
            region, at: header.modules_off, count: Int(header.modules_used))
        var strings: [UInt8] = [UInt8(ascii: "/")]
        for index in modules.indices {
            let path = string(at: modules[index].path_off, modules[index].path_length)
            let name = path.split(separator: UInt8(ascii: "/")).last.map(Array.init) ?? []
            let buildID = string(at: modules[index].build_id_off, modules[index].build_id_length)
            modules[index].path_off = UInt32(strings.count)
            modules[index].path_length = UInt32(name.count + 1)
            strings += [UInt8(ascii: "/")] + name
            modules[index].build_id_off = UInt32(strings.count)
            strings += buildID
        }
        header.directory_off = 0
        header.directory_length = 1
        header.modules_off = append(modules)
        header.modules_capacity = header.modules_used
        header.strings_off = append(strings)
        header.strings_used = UInt32(strings.count)
        header.strings_capacity = header.strings_used
    }

    private func string(at offset: UInt32, _ length: UInt32) -> ArraySlice<UInt8> {
        let start = Int(header.strings_off) + Int(offset)
        return region[start..<start + Int(length)]
    }

    private mutating func copy<Record: BitwiseCopyable>(
        _ type: Record.Type, at offset: UInt64, count: UInt32
    ) -> UInt64 {
        append(Self.records(region, at: offset, count: Int(count)) as [Record])
    }

    /// Where the records are in the compacted region.
    private mutating func append<Record: BitwiseCopyable>(_ records: [Record]) -> UInt64 {
        let offset = MemoryLayout<lp_header>.size + tables.count
        records.withUnsafeBytes { tables += $0 }
        while tables.count % 8 != 0 { tables.append(0) }
        return UInt64(offset)
    }

    private static func records<Record: BitwiseCopyable>(
        _ region: [UInt8], at offset: UInt64, count: Int
    ) -> [Record] {
        region.withUnsafeBytes { bytes in
            (0..<count).map {
                bytes.loadUnaligned(
                    fromByteOffset: Int(offset) + $0 * MemoryLayout<Record>.stride, as: Record.self)
            }
        }
    }
}
