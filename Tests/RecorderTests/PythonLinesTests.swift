import CLeakprofLayout
import CLeakprofRecorder
import LeakprofCapture
import LeakprofTestSupport
import Testing

/// The shim and the analyzer read Python's line tables apart from each other.
@Suite(.timeLimit(.minutes(10))) struct PythonLinesTests {
    /// Checks that what stands for an offset in a frame is of the offset's line.
    private func check(
        _ layout: PythonLineTable.Layout, _ bytes: [UInt8], first: Int64, length: Int
    ) {
        let kind: Int32 =
            switch layout {
            case .lnotab: LP_LINES_NUMBERS
            case .ranges: LP_LINES_RANGES
            case .locations: LP_LINES_LOCATIONS
            }
        let table = PythonLineTable(layout: layout, bytes: bytes, firstLine: first)
        var starts: [Int64: UInt32] = [:]
        var cursor = lp_line_stretch()
        cursor.has_line = true
        for offset in stride(from: UInt32(0), to: UInt32(length), by: 2) {
            let line = table.line(at: Int(offset))
            let start = lp_python_line_start(UInt32(kind), bytes, UInt64(bytes.count), offset)
            #expect(start <= offset)
            #expect(table.line(at: Int(start)) == line)
            // One offset stands for all of a line, and where there is no line, for itself.
            #expect(start == (line == 0 ? offset : starts[line, default: start]))
            if line != 0 { starts[line] = start }
            let isFound = lp_python_find_line(
                UInt32(kind), bytes, UInt64(bytes.count), offset, &cursor)
            #expect((isFound && cursor.has_line ? first + Int64(cursor.line) : 0) == line)
            guard isFound else { break }
        }
    }

    @Test(arguments: PythonLineTable.Layout.allCases)
    func `offsets of made-up tables stand for their lines`(layout: PythonLineTable.Layout) {
        for seed in UInt64(1)...300 {
            var random = SeededGenerator(seed: seed)
            var bytes: [UInt8] = []
            for _ in 0..<random.next(below: 60) {
                bytes += Self.entry(layout, &random)
            }
            check(layout, bytes, first: 1_000_000, length: 600)
        }
    }

    private static func entry(
        _ layout: PythonLineTable.Layout, _ random: inout SeededGenerator
    ) -> [UInt8] {
        func number(_ random: inout SeededGenerator) -> [UInt8] {
            (0..<random.next(below: 2)).map { _ in 0x40 | UInt8(random.next(below: 64)) }
                + [UInt8(random.next(below: 64))]
        }
        // Bytecode comes in units of two bytes.
        let length = UInt8(2 * random.next(below: 8))
        let change = UInt8(truncatingIfNeeded: random.next(below: 5) - 2)
        switch layout {
        case .lnotab: return [length, change]
        case .ranges: return [length, random.next(below: 5) == 0 ? 0x80 : change]
        case .locations:
            let code = random.next(below: 16)
            let first = 0x80 | UInt8(code) << 3 | UInt8(random.next(below: 8))
            switch code {
            case 0...9: return [first, UInt8(random.next(below: 128))]
            case 10...12: return [first, 1, 2]
            case 13: return [first] + number(&random)
            case 14: return [first] + (0..<4).flatMap { _ in number(&random) }
            default: return [first]
            }
        }
    }

    /// The tables of CPython's own modules.
    @Test(arguments: PythonInterpreter.all)
    func `offsets of real tables stand for their lines`(python: PythonInterpreter) async throws {
        let layout: PythonLineTable.Layout =
            python.minor < 10 ? .lnotab : python.minor == 10 ? .ranges : .locations
        let output = try await Programs.succeed(
            python.path, ["-I", "\(BuiltProducts.root)/Samples/line-tables.py"])
        var tables = 0
        for code in output.split(separator: "\n") {
            let words = code.split(separator: " ")
            let hexadecimal = words[1] == "-" ? [] : Array(words[1].utf8)
            // Short ones are most of them, and the others take long.
            guard hexadecimal.count < 2000 else { continue }
            let bytes = stride(from: 0, to: hexadecimal.count, by: 2).compactMap {
                UInt8(String(decoding: hexadecimal[$0..<$0 + 2], as: UTF8.self), radix: 16)
            }
            let units = words[2].split(separator: ",").reduce(0) {
                $0 + (Int($1.prefix { $0 != "*" }) ?? 0)
            }
            check(
                layout, bytes, first: try #require(Int64(words[0])), length: min(2 * units, 1000))
            tables += 1
        }
        #expect(tables > 1000)
    }
}
