import Glibc
import LeakprofCapture
import LeakprofTestSupport
import Testing

@Suite(.timeLimit(.minutes(10))) struct PythonLineTableTests {
    typealias Layout = PythonLineTable.Layout

    struct Example: Sendable {
        var layout: Layout
        var bytes: [UInt8]
        /// Of the code units, two bytes each, and of what is behind the last; the first line is 10.
        var lines: [Int64]
    }

    static let examples = [
        Example(layout: .lnotab, bytes: [], lines: [10]),
        Example(layout: .lnotab, bytes: [0, 5, 2, 1, 4, 0xfe], lines: [15, 16, 16, 14]),
        // 130 lines on and back again, in steps that a byte holds.
        Example(layout: .lnotab, bytes: [2, 127, 0, 3, 2, 0x80, 0, 0xfe], lines: [10, 140, 10]),
        // 258 bytes on.
        Example(
            layout: .lnotab, bytes: [255, 0, 3, 1], lines: Array(repeating: 10, count: 129) + [11]),
        Example(layout: .lnotab, bytes: [2, 1, 2], lines: [10, 11]),
        Example(layout: .ranges, bytes: [], lines: [0]),
        Example(
            layout: .ranges, bytes: [2, 0, 4, 3, 2, 0x80, 2, 0xff], lines: [10, 13, 13, 0, 12, 0]),
        Example(layout: .ranges, bytes: [0, 127, 2, 127, 0, 0x81, 2, 0x81], lines: [264, 10, 0]),
        Example(layout: .ranges, bytes: [2, 1, 9], lines: [11, 0]),
        Example(layout: .locations, bytes: [], lines: [0]),
        // Same line, in one and in two units; then with columns: one line further, the same, two on.
        Example(
            layout: .locations,
            bytes: [0x80, 0, 0x89, 0, 0xd8, 1, 2, 0xd0, 1, 2, 0xe0, 1, 2],
            lines: [10, 10, 10, 11, 11, 13, 0]),
        // Without columns 2000 lines on, with all there is 2000 back, no place, and on from where it was.
        Example(
            layout: .locations,
            bytes: [0xe8, 0x60, 0x3e, 0xf0, 0x61, 0x3e, 0, 1, 1, 0xf9, 0xd0, 0, 0],
            lines: [2010, 10, 0, 0, 10, 0]),
        // Before the first line of any file, and back.
        Example(layout: .locations, bytes: [0xe8, 0x17, 0xe8, 0x04], lines: [0, 1, 0]),
        // A number without an end, which the next entry cuts off, and one that is far too long.
        Example(layout: .locations, bytes: [0xe8, 0x4c, 0xd8, 0, 0], lines: [16, 17, 0]),
        Example(
            layout: .locations,
            bytes: [0xe8, 0x7e] + Array(repeating: 0x7f, count: 30) + [0x3f, 0xd8, 0, 0],
            lines: [0, 0, 0]),
        // The rest of an entry that has no beginning.
        Example(layout: .locations, bytes: [1, 2, 0x80, 0], lines: [10, 0]),
    ]

    @Test(arguments: examples) func `each form is read`(example: Example) {
        let table = PythonLineTable(layout: example.layout, bytes: example.bytes, firstLine: 10)
        #expect(example.lines.indices.map { table.line(at: 2 * $0) } == example.lines)
        #expect(example.lines.indices.map { table.line(at: 2 * $0 + 1) } == example.lines)
        #expect(table.line(at: -1) == 10)
        #expect(table.line(at: .min) == 10)
        #expect(table.line(at: .max) == example.lines.last)
    }

    /// CPython's own modules and shapes that make every form of entry, against what it says itself.
    @Test(arguments: PythonInterpreter.all)
    func `lines are those of CPython`(python: PythonInterpreter) async throws {
        let layout: Layout =
            switch python.minor {
            case ..<10: .lnotab
            case 10: .ranges
            default: .locations
            }
        let output = try await Programs.succeed(
            python.path, ["-I", "\(BuiltProducts.root)/Samples/line-tables.py"])
        let codes = output.utf8.split(separator: UInt8(ascii: "\n"))
        var instructions = 0
        for code in codes {
            let words = code.split(separator: UInt8(ascii: " "))
            let firstLine = try #require(Int64(Substring(words[0])))
            let bytes = Array(words[1]).hexadecimal
            let table = PythonLineTable(layout: layout, bytes: bytes, firstLine: firstLine)
            var offset = 0
            for run in words[2].split(separator: UInt8(ascii: ",")) {
                let parts = run.split(separator: UInt8(ascii: "*"))
                let count = try #require(Int(Substring(parts[0])))
                let line = try #require(Int64(Substring(parts[1])))
                for _ in 0..<count {
                    guard table.line(at: offset) == line else {
                        Issue.record(
                            "\(Substring(code)): \(table.line(at: offset)) at \(offset)")
                        return
                    }
                    offset += 2
                }
                instructions += count
            }
        }
        #expect(codes.count > 5000)
        #expect(instructions > 200_000)
    }

    /// In a process of its own, so that a trap fails this test and not the run.
    @Test func `any bytes give a line or none`() async {
        await #expect(processExitsWith: .success) {
            var random = SeededGenerator(seed: 6)
            for _ in 0..<10_000 {
                let length = random.next(below: random.next(below: 20) == 0 ? 3000 : 40)
                // Bits that make entries long and numbers large are rarer by themselves.
                let mask = [UInt8]([0, 0x40, 0x7f, 0xe8, 0xff])[random.next(below: 5)]
                let bytes = (0..<length).map { _ in
                    UInt8(truncatingIfNeeded: random.next())
                        | (random.next(below: 2) == 0 ? mask : 0)
                }
                let firstLine = [1, 0, -1, Int64(Int32.max), .max, .min][random.next(below: 6)]
                for layout in Layout.allCases {
                    let table = PythonLineTable(layout: layout, bytes: bytes, firstLine: firstLine)
                    let offsets =
                        [-1, 0, .min, .max]
                        + (0..<20).map { _ in random.next(below: 2 * length + 2) }
                    for offset in offsets {
                        guard (0...Int64(Int32.max)).contains(table.line(at: offset)) else {
                            exit(1)
                        }
                    }
                }
            }
        }
    }
}

extension [UInt8] {
    /// The bytes that this text of digits stands for; none for `-`.
    fileprivate var hexadecimal: [UInt8] {
        func digit(_ byte: UInt8) -> UInt8 {
            byte < UInt8(ascii: "a") ? byte - UInt8(ascii: "0") : byte - UInt8(ascii: "a") + 10
        }
        return stride(from: 0, to: count - 1, by: 2).map {
            digit(self[$0]) << 4 | digit(self[$0 + 1])
        }
    }
}
