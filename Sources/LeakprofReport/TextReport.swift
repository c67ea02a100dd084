package import LeakprofAnalysis
package import LeakprofModel

/// Reports as lines of text, in the form tracemalloc prints them.
package struct TextReport: Sendable {
    /// How many rows are written.
    package var limit: Int
    /// Whether changes too small to matter are written too.
    package var showsAllChanges: Bool
    /// Reads a line of a source file, to be shown below the row that names it.
    package var sourceLine: (@Sendable (_ file: String, _ line: Int64) -> String?)?

    /// What growth is divided by as well.
    package var divisor: Divisor?

    package init(
        limit: Int = 10, showsAllChanges: Bool = false, divisor: Divisor? = nil,
        sourceLine: (@Sendable (_ file: String, _ line: Int64) -> String?)? = nil
    ) {
        self.limit = limit
        self.showsAllChanges = showsAllChanges
        self.divisor = divisor
        self.sourceLine = sourceLine
    }

    // MARK: One snapshot

    package func lines(of report: TopReport, facts: SnapshotFacts) -> [String] {
        let measures = Measures(report.sampleType)
        var lines = [Self.headline(report, facts)]
        for row in report.rows.prefix(limit) {
            let size = Quantity.bytes(measures.size(row.counts)) + error(row.variance, measures)
            lines.append(
                Self.row(
                    row.key, "size=\(size), count=\(measures.count(row.counts))",
                    average: Self.average(row.counts, measures), site: row.site,
                    callers: row.callers))
            lines += details(of: row.key)
        }
        lines += Self.rest(report.rows.count - limit)
        // Whatever a name is in: none of them is more than a part of its line.
        return (lines + Self.warnings(facts)).map(Sanitized.line)
    }

    private static func headline(_ report: TopReport, _ facts: SnapshotFacts) -> String {
        let totals = report.totals
        var line =
            "\(Quantity.precise(totals.inuseSpace)) live in "
            + "\(Quantity.grouped(totals.inuseObjects)) blocks"
        if report.variance.inuseSpace > 0 {
            line +=
                " (estimated, ±"
                + Quantity.bytes(Quantity.standardError(report.variance.inuseSpace)) + ")"
        }
        if totals.allocObjects > 0 {
            line +=
                "; \(Quantity.precise(totals.allocSpace)) allocated in "
                + "\(Quantity.grouped(totals.allocObjects))"
        }
        return line + subject(facts)
    }

    /// `   pid 4711 app, exact, after 2 m 10 s, RSS 30.1 MiB`.
    private static func subject(_ facts: SnapshotFacts) -> String {
        var parts: [String] = []
        if let process = facts.process {
            parts.append("pid \(process.pid) \(Sanitized.line(process.name))")
        }
        if let recording = facts.recording { parts.append(recordingWords(recording)) }
        if facts.duration > 0 { parts.append("after \(Quantity.duration(facts.duration))") }
        if let resident = facts.process?.residentBytes {
            parts.append("RSS \(Quantity.precise(resident))" + peak(facts))
        }
        return parts.isEmpty ? "" : "   " + parts.joined(separator: ", ")
    }

    /// ` (peak 45.0 MiB)`, where resident memory was noticeably more.
    private static func peak(_ facts: SnapshotFacts) -> String {
        guard let resident = facts.process?.residentBytes,
            let peak = facts.process?.peakResidentBytes, Double(peak) > Double(resident) * 1.05
        else { return "" }
        return " (peak \(Quantity.precise(peak)))"
    }

    /// How much is recorded: `exact`, or `auto: sampled every 64 KiB at 1.2 % CPU`.
    private static func samplingWords(_ recording: RecordingFacts) -> String {
        let sampled = "sampled every \(Quantity.bytes(recording.intervalBytes))"
        switch recording.mode {
        case "auto":
            let how = "auto: " + (recording.intervalBytes == 0 ? "exact" : sampled)
            guard let cost = recording.costPpm, cost > 0 else { return how }
            return how + " at \(Quantity.fixed(Double(cost) / 10000, 1)) % CPU"
        case "exact" where recording.intervalBytes != 0:
            return "exact until memory ran out: now " + sampled
        default: return recording.intervalBytes == 0 ? "exact" : sampled
        }
    }

    static func recordingWords(_ recording: RecordingFacts) -> String {
        let how = samplingWords(recording)
        switch recording.state {
        case "recording": return how
        case "ended": return how + ", as of its end"
        case "killed": return how + ", as of its sudden end"
        default: return "recording " + recording.state
        }
    }

    // MARK: One block

    /// Where the only block of a snapshot was allocated; `address` is what the user calls it.
    package func lines(ofBlock snapshot: Snapshot, at address: String) -> [String] {
        let report = TopReport(of: snapshot, grouping: Grouping(groupBy: .stack))
        guard let row = report.rows.first, let sample = snapshot.samples.first else { return [] }
        let epochs = snapshot.facts.recording?.epochs ?? []
        var line =
            "\(address): size=\(Quantity.bytes(sample.counts.inuseSpace)), birth epoch \(sample.epoch)"
        if epochs.indices.contains(Int(sample.epoch) - 1) {
            let began = epochs[Int(sample.epoch) - 1].startedAfter
            line +=
                began == 0
                ? ", from the start of the recording on"
                : ", which began \(Quantity.duration(began)) after the recording"
        }
        return ([line] + details(of: row.key) + Self.warnings(snapshot.facts)).map(Sanitized.line)
    }

    // MARK: Two snapshots

    /// The report on a comparison with a snapshot that the user calls `base`.
    package func lines(of diff: SnapshotDiff, base: String) -> [String] {
        let measures = Measures(diff.sampleType)
        var lines = [Self.headline(diff) + (divisor.map { Self.share(of: diff, $0) } ?? "")]
        if diff.rows.isEmpty { lines.append("nothing changed") }
        let rows = diff.rows.filter { $0.isSignificant || showsAllChanges }
        for row in rows.prefix(limit) {
            let change =
                Quantity.bytes(measures.size(row.change), signed: true)
                + error(row.variance, measures)
            let size = "size=\(Quantity.bytes(measures.size(row.current))) (\(change))"
            let count =
                "count=\(measures.count(row.current)) (\(Quantity.signed(measures.count(row.change))))"
            lines.append(
                Self.row(
                    row.key, "\(size), \(count)", average: Self.average(row.current, measures),
                    site: row.site, callers: row.callers))
            lines += details(of: row.key)
            if let divisor {
                lines.append(
                    "    "
                        + divisor.words(measures.size(row.base), measures.size(row.current)) {
                            Quantity.precise($0, signed: $1)
                        })
            }
            if let survivors = row.survivors, survivors.allocObjects > 0, row.change.inuseSpace > 0
            {
                lines.append(
                    "    \(Self.survivorsText(row, survivors)) allocated since `\(base)` are still live"
                )
            }
        }
        lines += Self.rest(rows.count - limit)
        let small = diff.rows.count - rows.count
        if small > 0 {
            let changes = small == 1 ? "1 change" : "\(small) changes"
            lines.append(
                "… and \(changes) under 0.1 % of all, or within the sampling error; "
                    + "--all shows them")
        }
        if let recorded = Self.recordingChange(
            diff.baseFacts.recording, diff.currentFacts.recording)
        {
            lines.append("recorded " + recorded)
        }
        if let before = diff.baseFacts.recording?.go?.goroutines,
            let after = diff.currentFacts.recording?.go?.goroutines
        {
            lines.append("goroutines: \(before), then \(after)")
        }
        return (lines + Self.cautions(diff) + Self.warnings(diff, base: "`\(base)`"))
            .map(Sanitized.line)
    }

    /// `; +8.7 KiB per request`.
    static func share(of diff: SnapshotDiff, _ divisor: Divisor) -> String {
        let measures = Measures(diff.sampleType)
        return "; "
            + divisor.words(measures.size(diff.base), measures.size(diff.current)) {
                Quantity.precise($0, signed: $1)
            }
    }

    /// What is missing from a comparison: from the later snapshot, and from the earlier one, which the reader
    /// knows as `base`, what is not said of the later one in the same words: counts go on within a run.
    static func warnings(_ diff: SnapshotDiff, base: String) -> [String] {
        let prefix = "note: "
        let current = warnings(diff.currentFacts)
        return current
            + warnings(diff.baseFacts)
            .filter { !diff.isSameRun || !current.contains($0) }
            .map { "\(prefix)in \(base), \($0.dropFirst(prefix.count))" }
    }

    /// `10000 of 10000`; of estimates, which may exceed each other, `about 99 of 100`.
    static func survivorsText(_ row: StatisticDiff, _ survivors: AllocationCounts) -> String {
        let allocated = survivors.allocObjects
        let left = "\(min(survivors.inuseObjects, allocated)) of \(allocated)"
        return row.variance.inuseSpace > 0 ? "about " + left : left
    }

    /// `+391.2 MiB grew in 2 m 10 s (3.0 MiB/s); RSS +392.7 MiB; live before 12.4 MiB, after 403.6 MiB`.
    static func headline(_ diff: SnapshotDiff) -> String {
        let change = diff.current.inuseSpace.saturatingSubtract(diff.base.inuseSpace)
        var line = growth(of: diff)
        if let before = diff.baseFacts.process?.residentBytes,
            let after = diff.currentFacts.process?.residentBytes
        {
            line += "; RSS \(Quantity.precise(after.saturatingSubtract(before), signed: true))"
        }
        line +=
            "; live before \(Quantity.precise(diff.base.inuseSpace)), "
            + "after \(Quantity.precise(diff.current.inuseSpace))"
        if change != 0 && diff.variance.inuseSpace > 0 {
            line += " (estimated from samples)"
        }
        return line
    }

    /// `+391.2 MiB grew in 2 m 10 s (3.0 MiB/s)`.
    static func growth(of diff: SnapshotDiff) -> String {
        let measures = Measures(diff.sampleType)
        let change = measures.size(diff.current).saturatingSubtract(measures.size(diff.base))
        var line = Quantity.precise(change, signed: true)
        if diff.variance.inuseSpace > 0 {
            line += " ±" + Quantity.bytes(Quantity.standardError(diff.variance.inuseSpace))
        }
        line += measures.isInUse ? (change < 0 ? " shrank" : " grew") : " more allocated"
        let elapsed = diff.currentFacts.capturedAt.saturatingSubtract(diff.baseFacts.capturedAt)
        if elapsed > 0, diff.baseFacts.capturedAt > 0 {
            let perSecond = Double(change) / (Double(elapsed) / 1e9)
            line +=
                " in \(Quantity.duration(elapsed)) (\(Quantity.precise(perSecond.clamped))/s)"
        }
        return line
    }

    /// What makes the two snapshots hard to compare.
    static func cautions(_ diff: SnapshotDiff) -> [String] {
        var lines: [String] = []
        let base = diff.baseFacts
        let current = diff.currentFacts
        if let first = base.process, let second = current.process, !diff.isSameRun {
            lines.append(
                first.isSameRun(as: second)
                    ? "the base snapshot is the later one of the two"
                    : "these are two different runs (pid \(first.pid) and pid \(second.pid)), so "
                        + "what survived in between can't be told")
        }
        return lines.map { "note: " + $0 }
    }

    /// How both were recorded, where it was not exactly throughout.
    private static func recordingChange(_ base: RecordingFacts?, _ current: RecordingFacts?)
        -> String?
    {
        let words = [base, current].compactMap { $0.map(recordingWords) }
        guard let last = words.last, words.contains(where: { $0 != "exact" }) else { return nil }
        return words[0] == last ? last : "\(words[0]), then \(last)"
    }

    // MARK: Rows

    private static func average(_ counts: AllocationCounts, _ measures: Measures) -> Double? {
        measures.count(counts) == 0 ? nil : measures.average(counts)
    }

    private static func row(
        _ key: GroupKey, _ sums: String, average: Double?, site: Site, callers: Callers
    ) -> String {
        var line = "\(Sanitized.line(key.label)): \(sums)"
        if let average { line += ", average=\(Quantity.bytes(average))" }
        // Where there is no line, the label is the function.
        if key.line > 0 { line += "     " + Sanitized.line(shortName(site.frame.function)) }
        return line + callersText(callers)
    }

    /// `  < caller < its caller`, up to three of them; empty where there are none.
    static func callersText(_ callers: Callers) -> String {
        let shared = callers.shared.prefix { !$0.isEntry }
        let shown = shared.isEmpty ? callers.ofLargest.prefix { !$0.isEntry } : shared
        guard !shown.isEmpty else { return "" }
        let names = shown.prefix(3).map { Sanitized.line(shortName($0.frame.function)) }
        return (shared.isEmpty ? "  < mostly " : "  < ") + names.joined(separator: " < ")
    }

    /// A row's further lines: its stack, or the source line it names.
    private func details(of key: GroupKey) -> [String] {
        if !key.stack.isEmpty {
            return key.stack.map { site in
                let place =
                    site.frame.file.isEmpty
                    ? site.module : "\(site.frame.file):\(site.frame.line)"
                return "    \(Sanitized.line(Self.shortName(site.frame.function)))"
                    + (place.isEmpty ? "" : "  \(Sanitized.line(place))")
            }
        }
        guard key.line > 0, let source = sourceLine?(key.file, key.line) else { return [] }
        return ["    " + Sanitized.line(source)]
    }

    static func shortName(_ function: String) -> String { FunctionName(function).short }

    private func error(_ variance: SamplingVariance, _ measures: Measures) -> String {
        guard variance.inuseSpace > 0 else { return "" }
        return " ±" + Quantity.bytes(Quantity.standardError(variance.inuseSpace))
    }

    private static func rest(_ count: Int) -> [String] {
        count > 0 ? ["… and \(count) more; --limit \(count + 10) shows them"] : []
    }

    /// Says that the program does not call the shim, if that is so: then nothing live means nothing.
    package static func otherMalloc(_ facts: SnapshotFacts) -> String? {
        facts.recording?.otherMalloc.map { path in
            "note: \(Sanitized.line(path)) has a malloc of its own, which is called in place of the "
                + "shim's: what is allocated with it is not recorded"
        }
    }

    private static func unknownPython(_ recording: RecordingFacts) -> String? {
        guard let python = recording.python, !python.hasFrames else { return nil }
        return "note: Python \(Sanitized.line(python.version)) is not known: its frames and the "
            + "blocks of its own allocators are not recorded"
    }

    /// As of when Go's numbers are, and what happened since.
    package static func goProfile(_ facts: SnapshotFacts) -> String? {
        guard let go = facts.recording?.go else { return nil }
        let version = Sanitized.line(go.version)
        guard go.hasCollected else {
            return "note: \(version) has not completed a garbage collection yet: all that was "
                + "allocated counts as live"
        }
        let asOf =
            "note: as of the last garbage collection that \(version) has completed; since then "
        let bytes = Quantity.precise(Int64(clamping: go.pendingBytes.magnitude))
        return go.pendingBytes < 0
            ? asOf + "\(bytes) more were found to be garbage than allocated"
            : asOf + "\(bytes) more were allocated than found to be garbage"
    }

    /// Since when leakprof has had a Go program sample otherwise than by itself, and what that leaves uncertain.
    package static func goAttachment(_ facts: SnapshotFacts) -> String? {
        // In what attach kept of before, it is still to come.
        guard let attachment = facts.recording?.go?.attachment, attachment.buckets == nil else {
            return nil
        }
        let since = "since attach at \(GrowthStory.time(attachment.attachedAt))"
        guard attachment.oldRate != 0 else {
            let resident = attachment.residentBytes.map {
                ", when \(Quantity.precise($0)) were resident"
            }
            return "note: \(since): what was allocated before is not seen\(resident ?? "")"
        }
        let uncertain =
            attachment.ambiguousBytes == 0
            ? ""
            : "; blocks that were freed since may have been sampled before or after, so that what is live "
                + "may be off by \(Quantity.precise(attachment.ambiguousBytes))"
        return "note: sampled every \(interval(attachment.newRate)) \(since), every "
            + "\(interval(attachment.oldRate)) before, and scaled accordingly" + uncertain
    }

    private static func interval(_ rate: Int64) -> String {
        rate == 1 ? "byte" : Quantity.bytes(rate)
    }

    /// What is missing from the numbers, and why; nothing when nothing is.
    static func warnings(_ facts: SnapshotFacts) -> [String] {
        guard let recording = facts.recording else { return [] }
        let statistics = recording.statistics
        func warning(_ name: String, _ text: (Int64) -> String) -> String? {
            statistics[name].map { "note: " + text($0) }
        }
        return [
            otherMalloc(facts),
            warning("thinned_blocks") {
                "\($0) recorded blocks were given up, so that those left stand for them: sampling began or "
                    + "its interval grew"
            },
            warning("dropped_no_memory") {
                "\($0) allocations (\(Quantity.bytes(statistics["dropped_no_memory_bytes"] ?? 0))) "
                    + "are missing: the live table reached LEAKPROF_MAX_MEMORY"
            },
            warning("dropped_no_counter") {
                "\($0) allocations (\(Quantity.bytes(statistics["dropped_no_counter_bytes"] ?? 0))) "
                    + "are missing: the region is full, see LEAKPROF_REGION_SIZE"
            },
            warning("dropped_unrepresentable") { "\($0) allocations of unusual size are missing" },
            warning("stacks_lost") {
                "\($0) allocations have no stack: the region is full, see LEAKPROF_REGION_SIZE"
            },
            unknownPython(recording),
            goProfile(facts),
            goAttachment(facts),
            warning("python_functions_lost") {
                "\($0) times there was no room for a Python function's name: the region is full, see "
                    + "LEAKPROF_REGION_SIZE"
            },
            warning("epochs_merged") {
                "\($0) allocations were counted as older than they are: the region is nearly full, "
                    + "see LEAKPROF_REGION_SIZE"
            },
            warning("stacks_cut_at_unwind") {
                "\($0) stacks end early or may lack frames, at code without unwind information"
            },
            warning("stacks_cut_at_depth") {
                "\($0) allocations had stacks deeper than what is recorded of them (LEAKPROF_DEPTH, at most "
                    + "128 frames): their outermost frames are missing"
            },
            warning("replaced_blocks") {
                "\($0) frees were not seen; their blocks were counted as freed when their address "
                    + "was allocated again"
            },
            warning("modules_lost") { "\($0) times a library could not be recorded" },
            warning("damaged_records") { "\($0) records could not be read" },
            warning("configuration_errors") { _ in
                "a LEAKPROF_ variable was not understood; `leakprof inspect` names it"
            },
        ].compactMap { $0 }
    }
}
