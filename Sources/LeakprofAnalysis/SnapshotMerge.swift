package import LeakprofModel

extension Snapshot {
    /// One snapshot of several processes together, such as the workers of a server.
    ///
    /// What is about one process is left out: birth epochs, process facts. Of different recordings the facts
    /// that make the whole less certain are kept.
    package static func merged(_ snapshots: [Snapshot]) -> Snapshot {
        var merge = Merge()
        for snapshot in snapshots { merge.add(snapshot) }
        return merge.result
    }

    private struct Merge {
        var result = Snapshot()
        /// Of those so far; `nil` before the first.
        private var facts: SnapshotFacts?
        private var mappings: [Mapping: Int] = [:]
        private var locations: [Location: Int] = [:]
        private var samples: [[Int]: Int] = [:]

        mutating func add(_ snapshot: Snapshot) {
            result.facts = facts.map { $0.merged(snapshot.facts) } ?? snapshot.facts
            result.facts.process = nil
            result.facts.recording?.cutEpoch = 0
            result.facts.recording?.epochs = []
            facts = result.facts
            let mappingIndices = snapshot.mappings.map { mapping in
                Self.index(of: mapping, in: &mappings, &result.mappings)
            }
            let locationIndices = snapshot.locations.map { location in
                var location = location
                location.mapping = location.mapping.map { mappingIndices[$0] }
                return Self.index(of: location, in: &locations, &result.locations)
            }
            for sample in snapshot.samples {
                let stack = sample.stack.map { locationIndices[$0] }
                if let known = samples[stack] {
                    result.samples[known].counts += sample.counts
                    result.samples[known].variance += sample.variance
                } else {
                    samples[stack] = result.samples.count
                    result.samples.append(
                        Sample(stack: stack, counts: sample.counts, variance: sample.variance))
                }
            }
        }

        private static func index<Element: Hashable>(
            of element: Element, in indices: inout [Element: Int], _ elements: inout [Element]
        ) -> Int {
            if let known = indices[element] { return known }
            indices[element] = elements.count
            elements.append(element)
            return elements.count - 1
        }
    }
}

extension SnapshotFacts {
    fileprivate func merged(_ other: SnapshotFacts) -> SnapshotFacts {
        var facts = self
        facts.capturedAt = max(capturedAt, other.capturedAt)
        facts.duration = max(duration, other.duration)
        facts.period = max(period, other.period)
        facts.notes += other.notes.filter { !notes.contains($0) }
        if let second = other.recording { facts.recording = recording?.merged(second) ?? second }
        return facts
    }
}

extension RecordingFacts {
    fileprivate func merged(_ other: RecordingFacts) -> RecordingFacts {
        RecordingFacts(
            mode: mode == other.mode ? mode : "mixed",
            state: state == "recording" ? other.state : state,
            intervalBytes: max(intervalBytes, other.intervalBytes),
            costPpm: [costPpm, other.costPpm].compactMap(\.self).max(),
            maxDepth: min(maxDepth, other.maxDepth),
            statistics: statistics.merging(other.statistics) { $0.saturatingAdd($1) },
            regionBytes: regionBytes.saturatingAdd(other.regionBytes),
            liveTableBytes: liveTableBytes.saturatingAdd(other.liveTableBytes),
            otherMalloc: otherMalloc ?? other.otherMalloc)
    }
}
