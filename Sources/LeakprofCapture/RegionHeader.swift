internal import CLeakprofLayout

/// A copy of a region's header whose offsets and capacities fit the region.
struct RegionHeader {
    let raw: lp_header

    /// Where a table lies and how many records fit.
    struct Table {
        var offset: Int
        var capacity: Int
    }

    let epochs: Table
    let modules: Table
    let strings: Table
    let nodes: Table
    let counters: Table
    let statistics: Table
    let intervals: Table

    /// Reads the header from the start of `file` and checks it.
    init(of file: borrowing RegionFile) throws(CaptureError) {
        let path = file.path
        let size = MemoryLayout<lp_header>.size
        // It gets its size before its header.
        if file.bytes == 0 { throw .starting(path: path) }
        guard file.bytes >= size else { throw .damaged(path: path, what: "it is too short") }
        let copy = try file.readRecords(lp_header.self, at: 0, count: 1)[0]
        guard copy.magic == LP_MAGIC else {
            if copy.magic == 0 { throw .starting(path: path) }
            throw .unreadable(path: path, reason: "it is not a recording region")
        }
        let signature = lp_layout_signature()
        guard copy.layout_version == LP_LAYOUT_VERSION, copy.layout_signature == signature else {
            throw .layoutMismatch(
                path: path, expected: "layout \(LP_LAYOUT_VERSION) (\(signature))",
                found: "layout \(copy.layout_version) (\(copy.layout_signature))")
        }
        guard copy.region_bytes == UInt64(file.bytes) else {
            throw .damaged(
                path: path,
                what: "its header speaks of \(copy.region_bytes) bytes, the file has \(file.bytes)")
        }
        raw = copy
        let bytes = file.bytes
        func table(
            _ offset: UInt64, _ capacity: some BinaryInteger, _ recordBytes: Int, _ name: String
        ) throws(CaptureError) -> Table {
            let (length, overflow) = UInt64(capacity).multipliedReportingOverflow(
                by: UInt64(recordBytes))
            guard !overflow, offset <= UInt64(bytes), length <= UInt64(bytes) - offset,
                offset >= UInt64(size), offset % 8 == 0
            else { throw .damaged(path: path, what: "its \(name) lie outside of it") }
            return Table(offset: Int(offset), capacity: Int(capacity))
        }
        epochs = try table(
            copy.epochs_off, copy.epochs_capacity, MemoryLayout<lp_epoch>.stride, "epochs")
        modules = try table(
            copy.modules_off, copy.modules_capacity, MemoryLayout<lp_module>.stride, "modules")
        strings = try table(copy.strings_off, copy.strings_capacity, 1, "strings")
        nodes = try table(
            copy.nodes_off, copy.nodes_capacity, MemoryLayout<lp_node>.stride, "stack nodes")
        counters = try table(
            copy.counters_off, copy.counters_capacity, MemoryLayout<lp_counter>.stride, "counters")
        statistics = try table(copy.statistics_off, LP_STAT_COUNT, 8, "statistics")
        intervals = try table(copy.intervals_off, LP_INTERVALS, 8, "intervals")

        // Each byte is in one table at most, or a small region could make a large copy.
        let lengths = [
            epochs.capacity * MemoryLayout<lp_epoch>.stride,
            modules.capacity * MemoryLayout<lp_module>.stride, strings.capacity,
            nodes.capacity * MemoryLayout<lp_node>.stride,
            counters.capacity * MemoryLayout<lp_counter>.stride, statistics.capacity * 8,
            intervals.capacity * 8,
        ]
        guard lengths.reduce(size, +) <= bytes else {
            throw .damaged(path: path, what: "its tables overlap")
        }
    }

    /// How many of a table's records are taken; no more than whoever refers to them can count.
    func used(_ count: UInt32, of table: Table, limit: Int = .max) -> Int {
        min(Int(count), table.capacity, limit)
    }

    /// A stack node has 16 bits for its module, and a counter as many for its epoch.
    static let modulesLimit = 1 << 16
    static let epochsLimit = 1 << 16
}
