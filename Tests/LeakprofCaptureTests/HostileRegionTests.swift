import CLeakprofLayout
import Glibc
import LeakprofCapture
import LeakprofModel
import LeakprofTestSupport
import Testing

/// Regions that a target made to do harm, or changes while they are read.
@Suite(.serialized, .timeLimit(.minutes(10))) struct HostileRegionTests {
    private func capture(_ bytes: [UInt8]) throws -> Snapshot {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/1.1.region"
        try Files.write(bytes, to: path)
        return try Region(path: path).capture(startsEpoch: false)
    }

    /// Runs in a process of its own, so that a trap fails this test and not the run.
    @Test func `a region that changes while it is read is read or refused`() async throws {
        let fixture = try await RegionFixture.make()
        let directory = try TemporaryDirectory()
        let path = directory.path + "/1.1.region"
        try Files.write(fixture.bytes, to: path)

        await #expect(processExitsWith: .success) { [path = path as String] in
            let original = try Files.bytes(of: path)
            let writer = Thread.start { Vandal(path: path, original: original).run() }
            var snapshots = 0
            for _ in 0..<1000 {
                let region = Region(path: path)
                _ = try? region.inspect()
                guard let snapshot = try? region.capture(startsEpoch: false) else { continue }
                snapshots += 1
                guard snapshot.isConsistent else { exit(9) }
            }
            _ = writer
            // If none could be read, this tests nothing.
            exit(snapshots > 10 ? 0 : 8)
        }
    }

    @Test func `tables that overlap are refused`() async throws {
        let fixture = try await RegionFixture.make()
        let bytes = fixture.withHeader {
            $0.nodes_off = $0.counters_off
            $0.strings_off = $0.counters_off
            $0.strings_capacity = UInt32($0.region_bytes - $0.counters_off)
        }
        let error = #expect(throws: CaptureError.self) { try capture(bytes) }
        #expect(error?.description.contains("overlap") == true)
    }

    /// The strings of modules may overlap, so that a table of a few kilobytes names gigabytes of paths.
    @Test func `modules that share one long path do not fill the memory`() async throws {
        let fixture = try await RegionFixture.make()
        var bytes = fixture.withHeader { header in
            header.modules_used = header.modules_capacity
            header.strings_used = header.strings_capacity
        }
        let header = bytes.withUnsafeBytes { $0.loadUnaligned(as: lp_header.self) }
        bytes.withUnsafeMutableBytes { raw in
            for index in 1..<Int(header.modules_capacity) {
                let offset = Int(header.modules_off) + index * MemoryLayout<lp_module>.stride
                var module = lp_module()
                module.start = 1
                module.end = 2
                module.published = 1
                module.path_length = header.strings_capacity
                module.build_id_length = header.strings_capacity
                raw.storeBytes(of: module, toByteOffset: offset, as: lp_module.self)
            }
        }

        let snapshot = try capture(bytes)

        #expect(snapshot.mappings.count == Int(header.modules_capacity) - 1)
        #expect(snapshot.mappings.allSatisfy { $0.path.utf8.count <= 4096 })
        #expect(snapshot.mappings.allSatisfy { $0.buildID.utf8.count <= 8192 })
    }

    /// Stacks share nodes, so that some megabytes of them name gigabytes of frames.
    @Test func `stacks that share all their nodes do not fill the memory`() throws {
        let stacks = 34_000
        let depth = Int(LP_MAX_DEPTH)
        let bytes = Self.region(nodes: depth + stacks, counters: stacks + 1) { node, counter in
            for index in 1..<depth {
                node(index, UInt64(index + 2), index - 1)
            }
            for stack in 0..<stacks {
                node(depth + stack, UInt64(depth + stack + 2), depth - 1)
                counter(stack + 1, depth + stack)
            }
        }

        let snapshot = try capture(bytes)

        #expect(snapshot.isConsistent)
        #expect(snapshot.samples.count == stacks)
        #expect(snapshot.totals.allocObjects == Int64(stacks))
        let frames = snapshot.samples.reduce(0) { $0 + $1.stack.count }
        #expect(frames <= (1 << 22) + stacks)
        #expect((snapshot.facts.recording?.statistics["damaged_records"] ?? 0) > 0)
    }

    /// Code objects may lie over each other's names, so that some megabytes of them have gigabytes of names.
    @Test func `code objects that share their names do not fill the memory`() throws {
        let codes = 100_000
        var heap: [UInt64] = []
        for code in 0..<codes {
            // First line and length of the name; file and length of the line table; its kind.
            heap += [UInt64(code) | 4000 << 32, 0, UInt64(LP_LINES_NUMBERS)]
        }
        let bytes = Self.region(nodes: codes + 1, counters: codes + 1, heap: heap) {
            node, counter in
            for code in 1...codes {
                node(code, LP_FRAME_PYTHON | UInt64(code * 3) << UInt64(LP_PYTHON_CODE_SHIFT), 0)
                counter(code, code)
            }
        }

        let snapshot = try capture(bytes)

        #expect(snapshot.isConsistent)
        #expect(snapshot.totals.allocObjects == Int64(codes))
        let names = snapshot.locations.flatMap(\.frames).map(\.function)
        #expect(names.contains { $0.utf8.count > 1000 })
        #expect(names.reduce(0) { $0 + $1.utf8.count } < bytes.count * 8)
    }

    /// Makes a region of nothing but nodes, counters and a heap.
    private static func region(
        nodes: Int, counters: Int, heap: [UInt64] = [],
        fill: (
            _ node: (_ index: Int, _ frame: UInt64, _ parent: Int) -> Void,
            _ counter: (_ index: Int, _ stack: Int) -> Void
        ) -> Void
    ) -> [UInt8] {
        var header = lp_header()
        header.magic = LP_MAGIC
        header.layout_version = UInt32(LP_LAYOUT_VERSION)
        header.layout_signature = lp_layout_signature()
        header.epoch = 1
        var end = UInt64(MemoryLayout<lp_header>.size)
        func place(_ bytes: Int) -> UInt64 {
            defer { end += UInt64((bytes + 7) & ~7) }
            return end
        }
        header.statistics_off = place(Int(LP_STAT_COUNT) * 8)
        header.intervals_off = place(Int(LP_INTERVALS) * 8)
        header.epochs_off = place(0)
        header.modules_off = place(0)
        header.strings_off = place(0)
        header.nodes_off = place(nodes * MemoryLayout<lp_node>.stride)
        let stride = MemoryLayout<lp_counter>.stride
        let capacity = counters + (heap.count * 8 + stride - 1) / stride
        header.counters_off = place(capacity * stride)
        header.nodes_capacity = UInt32(nodes)
        header.nodes_used = UInt32(nodes)
        header.counters_capacity = UInt32(capacity)
        header.counters_used = UInt32(counters)
        header.heap_used = UInt32(heap.count)
        header.region_bytes = end
        var bytes = [UInt8](repeating: 0, count: Int(end))
        bytes.withUnsafeMutableBytes { raw in
            raw.storeBytes(of: header, as: lp_header.self)
            let heapStart = Int(header.counters_off) + capacity * stride - heap.count * 8
            heap.withUnsafeBytes {
                UnsafeMutableRawBufferPointer(rebasing: raw[heapStart...]).copyMemory(from: $0)
            }
            fill { index, frame, parent in
                var node = lp_node()
                node.frame_low = UInt32(truncatingIfNeeded: frame)
                node.frame_high = UInt32(frame >> 32)
                node.parent = UInt32(parent)
                raw.storeBytes(
                    of: node,
                    toByteOffset: Int(header.nodes_off) + index * MemoryLayout<lp_node>.stride,
                    as: lp_node.self)
            } _: { index, stack in
                var counter = lp_counter()
                counter.allocated_objects = 1
                counter.allocated_bytes = 1
                counter.stack = UInt32(stack)
                counter.epoch = 1
                raw.storeBytes(
                    of: counter,
                    toByteOffset: Int(header.counters_off) + index
                        * MemoryLayout<lp_counter>.stride,
                    as: lp_counter.self)
            }
        }
        return bytes
    }
}

/// Changes a region as fast as it can, and puts it right from time to time.
private struct Vandal: Sendable {
    let path: String
    let original: [UInt8]

    func run() -> Never {
        let descriptor = open(path, O_RDWR | O_CLOEXEC)
        var random = SeededGenerator(seed: 4)
        while true {
            switch random.next(below: 40) {
            case 0: ftruncate(descriptor, off_t(random.next(below: original.count)))
            case 1: ftruncate(descriptor, off_t(original.count) * 2)
            case 2...9:
                ftruncate(descriptor, off_t(original.count))
                pwrite(descriptor, original, original.count, 0)
            case 10...25:
                // A word of the header, or of what was used first in each table.
                let value = [UInt32.max, 0, 1, 0x8000_0000, 0x7fff_ffff].randomElement(
                    using: &random)
                let offset = random.next(below: Int(LP_HEADER_BYTES) / 4) * 4
                withUnsafeBytes(of: value ?? 0) {
                    _ = pwrite(descriptor, $0.baseAddress, $0.count, off_t(offset))
                }
            default:
                let value = UInt64.max
                let offset = random.next(below: original.count / 8) * 8
                withUnsafeBytes(of: value) {
                    _ = pwrite(descriptor, $0.baseAddress, $0.count, off_t(offset))
                }
            }
        }
    }
}

/// A thread of the system's, since the pool's would be kept from what else they have to do.
private enum Thread {
    static func start(_ body: @escaping @Sendable () -> Never) -> pthread_t {
        var thread = pthread_t()
        let box = Unmanaged.passRetained(Box(body))
        pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body()
            }, box.toOpaque())
        return thread
    }

    private final class Box: Sendable {
        let body: @Sendable () -> Never
        init(_ body: @escaping @Sendable () -> Never) { self.body = body }
    }
}
