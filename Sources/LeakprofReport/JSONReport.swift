internal import FoundationEssentials
package import LeakprofAnalysis
package import LeakprofModel

/// Reports for programs: JSON with a version, keys in alphabetical order, sizes in bytes.
package enum JSONReport {
    /// Raised when a key changes its meaning or goes away; new keys do not raise it.
    package static let schema = 1

    package static func bytes(of report: TopReport, facts: SnapshotFacts) throws -> [UInt8] {
        try encode(
            TopDocument(
                snapshot: SnapshotSummary(facts), totals: Sums(report.totals, report.variance),
                rows: report.rows.map { Row($0.key, current: Sums($0.counts, $0.variance)) }))
    }

    package static func bytes(of diff: SnapshotDiff, divisor: Divisor? = nil) throws -> [UInt8] {
        try encode(
            DiffDocument(
                base: SnapshotSummary(diff.baseFacts), current: SnapshotSummary(diff.currentFacts),
                sameRun: diff.isSameRun,
                totals: Change(diff.base, diff.current, diff.variance, survivors: nil),
                per: divisor.map { Per($0, diff.base, diff.current) },
                rows: diff.rows.map { row in
                    DiffRow(
                        row: Row(row.key, current: nil),
                        change: Change(
                            row.base, row.current, row.variance, survivors: row.survivors),
                        significant: row.isSignificant,
                        per: divisor.map { Per($0, row.base, row.current) })
                }))
    }

    private static func encode(_ document: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        return Sanitized.json(Array(try encoder.encode(document))) + [UInt8(ascii: "\n")]
    }

    private struct TopDocument: Encodable {
        var schema = JSONReport.schema
        var kind = "top"
        var snapshot: SnapshotSummary
        var totals: Sums
        var rows: [Row]
    }

    private struct DiffDocument: Encodable {
        var schema = JSONReport.schema
        var kind = "diff"
        var base: SnapshotSummary
        var current: SnapshotSummary
        var sameRun: Bool
        var totals: Change
        var per: Per?
        var rows: [DiffRow]
    }

    /// Sums per unit of work: of the change, or of two runs each of them by itself.
    private struct Per: Encodable {
        var unit: String
        var change: Shares?
        var base: Shares?
        var current: Shares?

        struct Shares: Encodable {
            var inuseObjects: Double
            var inuseSpace: Double
            var allocObjects: Double
            var allocSpace: Double

            init(_ counts: AllocationCounts, _ done: Double) {
                inuseObjects = Double(counts.inuseObjects) / done
                inuseSpace = Double(counts.inuseSpace) / done
                allocObjects = Double(counts.allocObjects) / done
                allocSpace = Double(counts.allocSpace) / done
            }
        }

        init(_ divisor: Divisor, _ base: AllocationCounts, _ current: AllocationCounts) {
            unit = divisor.unit
            switch divisor.amount {
            case .between(let done): change = Shares(current - base, done)
            case .each(let first, let second):
                self.base = Shares(base, first)
                self.current = Shares(current, second)
            }
        }
    }

    private struct SnapshotSummary: Encodable {
        var capturedAtNs: Int64
        var durationNs: Int64
        var process: ProcessFacts?
        var recording: RecordingFacts?
        var notes: [String]

        init(_ facts: SnapshotFacts) {
            capturedAtNs = facts.capturedAt
            durationNs = facts.duration
            process = facts.process
            recording = facts.recording
            notes = facts.notes
        }
    }

    private struct Sums: Encodable {
        var allocObjects: Int64
        var allocSpace: Int64
        var inuseObjects: Int64
        var inuseSpace: Int64
        var inuseObjectsStandardError: Int64
        var inuseSpaceStandardError: Int64

        init(_ counts: AllocationCounts, _ variance: SamplingVariance) {
            allocObjects = counts.allocObjects
            allocSpace = counts.allocSpace
            inuseObjects = counts.inuseObjects
            inuseSpace = counts.inuseSpace
            inuseObjectsStandardError = Quantity.standardError(variance.inuseObjects)
            inuseSpaceStandardError = Quantity.standardError(variance.inuseSpace)
        }
    }

    private struct Change: Encodable {
        var base: Sums
        var current: Sums
        var change: Sums
        var allocatedSinceBase: Sums?

        init(
            _ base: AllocationCounts, _ current: AllocationCounts, _ variance: SamplingVariance,
            survivors: AllocationCounts?
        ) {
            self.base = Sums(base, .zero)
            self.current = Sums(current, .zero)
            change = Sums(current - base, variance)
            allocatedSinceBase = survivors.map { Sums($0, .zero) }
        }
    }

    private struct Place: Encodable {
        var file: String
        var function: String
        var line: Int64
        var module: String
    }

    private struct Row: Encodable {
        var label: String
        var place: Place
        var stack: [Place]?
        var sums: Sums?

        init(_ key: GroupKey, current: Sums?) {
            label = key.label
            place = Place(
                file: key.file, function: key.function, line: key.line, module: key.module)
            let frames = key.stack.map { site in
                Place(
                    file: site.frame.file, function: site.frame.function, line: site.frame.line,
                    module: site.module)
            }
            stack = frames.isEmpty ? nil : frames
            sums = current
        }
    }

    private struct DiffRow: Encodable {
        var row: Row
        var change: Change
        var significant: Bool
        var per: Per?

        private enum Keys: String, CodingKey {
            case label, place, stack, base, current, change, allocatedSinceBase, significant, per
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Keys.self)
            try container.encode(row.label, forKey: .label)
            try container.encode(row.place, forKey: .place)
            try container.encodeIfPresent(row.stack, forKey: .stack)
            try container.encode(change.base, forKey: .base)
            try container.encode(change.current, forKey: .current)
            try container.encode(change.change, forKey: .change)
            try container.encodeIfPresent(change.allocatedSinceBase, forKey: .allocatedSinceBase)
            try container.encode(significant, forKey: .significant)
            try container.encodeIfPresent(per, forKey: .per)
        }
    }
}
