internal import LeakprofAnalysis
package import LeakprofModel

/// Folded stacks: `outermost;…;leaf VALUE` per line, the input of flamegraph.pl and speedscope.
package enum FoldedReport {
    /// One line per stack trace, sorted.
    package static func lines(
        of snapshot: Snapshot, sampleType: SampleType = .inuseSpace
    ) -> [String] {
        var stacks: [String: Int64] = [:]
        add(snapshot, sampleType) { stack, value in
            stacks[stack] = stacks[stack, default: 0].saturatingAdd(value)
        }
        return stacks.filter { $0.value != 0 }.sorted { $0.key < $1.key }.map {
            "\($0.key) \($0.value)"
        }
    }

    /// Two values per line, base and current: the input of difffolded.pl's readers.
    package static func lines(
        base: Snapshot, current: Snapshot, sampleType: SampleType = .inuseSpace
    ) -> [String] {
        var stacks: [String: (base: Int64, current: Int64)] = [:]
        add(base, sampleType) { stack, value in
            let seen = stacks[stack] ?? (0, 0)
            stacks[stack] = (seen.base.saturatingAdd(value), seen.current)
        }
        add(current, sampleType) { stack, value in
            let seen = stacks[stack] ?? (0, 0)
            stacks[stack] = (seen.base, seen.current.saturatingAdd(value))
        }
        return stacks.filter { $0.value != (0, 0) }.sorted { $0.key < $1.key }
            .map { "\($0.key) \($0.value.base) \($0.value.current)" }
    }

    private static func add(
        _ snapshot: Snapshot, _ type: SampleType, _ add: (String, Int64) -> Void
    ) {
        let frames = StackFrames(snapshot)
        for sample in snapshot.samples {
            let names = frames.sites(of: sample).reversed().map {
                Sanitized.folded(FunctionName($0.frame.function).qualified)
            }
            add(names.joined(separator: ";"), sample.counts[type])
        }
    }
}
