import FoundationEssentials
import LeakprofTestSupport
import Testing

/// Samples/tracemalloc-workload.py, once with tracemalloc and once with the shim: the same blocks, line by line.
///
/// Of bytes, one thing is tolerated: a class is kept in its base by an integer that is its address. That has 28 bytes
/// below 2^30, where a static interpreter's heap may lie or not from run to run, and else 32. Of blocks, nothing:
/// tracemalloc counts an object from a free list at the line that takes it from there, the shim
/// where its block was allocated. That concerns frames (up to 3.10), tuples, lists, dicts, floats and the like, and
/// every line at which one that was freed at another comes to life again. So the program empties the free lists in
/// between, and calls no function of its own from two lines that count: up to 3.10, a function keeps the frame of its
/// last call.
@Suite(.serialized, .timeLimit(.minutes(10))) struct TracemallocComparisonTests {
    private static let program = "\(BuiltProducts.root)/Samples/tracemalloc-workload.py"

    /// What the program prints of tracemalloc's statistics.
    private struct Expected: Decodable {
        /// Lines that count lie between these.
        var firstLine: Int
        var lastLine: Int
        var statistics: [Row]
        var comparison: [Row]

        struct Row: Decodable {
            var line: Int
            var bytes: Int64
            var objects: Int64
            var bytesMore: Int64?
            var objectsMore: Int64?
        }
    }

    /// What `leakprof top --json` and `leakprof diff --json` print, as far as it is compared.
    private struct Report: Decodable {
        var rows: [Row]

        struct Row: Decodable {
            var place: Place
            /// Of `top`.
            var sums: Sums?
            /// Of `diff`.
            var change: Sums?
        }

        struct Place: Decodable {
            var file: String
            var line: Int
        }

        struct Sums: Decodable {
            var inuseObjects: Int64
            var inuseSpace: Int64
        }
    }

    /// Blocks and their bytes.
    private struct Sums: Equatable, CustomStringConvertible {
        var objects: Int64 = 0
        var bytes: Int64 = 0

        var description: String { "\(objects) blocks of \(bytes) bytes" }
    }

    private static func report(
        _ arguments: [String], _ sums: KeyPath<Report.Row, Report.Sums?>, between lines: Range<Int>
    ) async throws -> [Int: Sums] {
        let text = try await Programs.succeed(
            BuiltProducts.leakprof,
            arguments + ["--json", "--group-by", "line", "--limit", "1000000"])
        let report = try JSONDecoder().decode(Report.self, from: Data(text.utf8))
        var found: [Int: Sums] = [:]
        for row in report.rows where row.place.file == program && lines.contains(row.place.line) {
            let value = try #require(row[keyPath: sums])
            found[row.place.line, default: Sums()].objects += value.inuseObjects
            found[row.place.line, default: Sums()].bytes += value.inuseSpace
        }
        return found.filter { $0.value != Sums() }
    }

    /// The lines at which they differ, with both.
    private static func differences(
        _ found: [Int: Sums], _ expected: [Int: Sums]
    ) throws -> [String] {
        let source = try Files.text(of: program).split(
            separator: "\n", omittingEmptySubsequences: false)
        return Set(found.keys).union(expected.keys).sorted().compactMap { line in
            let (ours, theirs) = (found[line] ?? Sums(), expected[line] ?? Sums())
            let addresses = source[line - 1].hasSuffix("# 20 integers that are addresses") ? 20 : 0
            let bytes = abs(ours.bytes - theirs.bytes)
            guard ours.objects != theirs.objects || bytes > 4 * addresses || bytes % 4 != 0
            else { return nil }
            return "\(line): \(ours), tracemalloc \(theirs): \(source[line - 1])"
        }
    }

    @Test(arguments: PythonInterpreter.all)
    func `blocks and bytes of every line are tracemalloc's`(
        python: PythonInterpreter
    ) async throws {
        let text = try await Programs.succeed(
            python.path, ["-B", "-X", "tracemalloc=1", Self.program, "expect"])
        let expected = try JSONDecoder().decode(Expected.self, from: Data(text.utf8))
        let recording = try Recording()
        let middle = recording.directory.path + "/middle"
        let end = recording.directory.path + "/end"
        let (_, status) = try await recording.with(python.path, ["-B", Self.program]) { program in
            try await program.line(startingWith: "half")
            _ = try await recording.snapshot(of: program, name: "middle")
            try await program.send("\n")
            try await program.line(startingWith: "ready")
            _ = try await recording.snapshot(of: program, name: "end")
            try await program.send("\n")
        }
        #expect(status == 0)

        let lines = expected.firstLine..<expected.lastLine
        let statistics = try await Self.report(["top", end], \.sums, between: lines)
        #expect(expected.statistics.count > 50)
        let live = expected.statistics.reduce(into: [:]) {
            $0[$1.line] = Sums(objects: $1.objects, bytes: $1.bytes)
        }
        let differences = try Self.differences(statistics, live)
        #expect(differences == [])

        // tracemalloc prints what did not change too.
        let comparison = try await Self.report(
            ["diff", middle, end, "--all", "-o", "-"], \.change, between: lines)
        let changed = expected.comparison.reduce(into: [Int: Sums]()) {
            $0[$1.line] = Sums(objects: $1.objectsMore ?? 0, bytes: $1.bytesMore ?? 0)
        }.filter { $0.value != Sums() }
        #expect(changed.count > 30)
        let differencesOfChanges = try Self.differences(comparison, changed)
        #expect(differencesOfChanges == [])
    }
}
