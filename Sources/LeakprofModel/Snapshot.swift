/// All blocks allocated and those still in use at one moment, by stack trace and birth epoch.
///
/// A snapshot is a value: it refers to nothing of where it was read from. Everything in it that is an
/// index is valid; whoever makes one checks that (``isConsistent``).
package struct Snapshot: Sendable, Equatable {
    package var facts: SnapshotFacts
    /// The main program first.
    package var mappings: [Mapping]
    package var locations: [Location]
    package var samples: [Sample]

    package init(
        facts: SnapshotFacts = SnapshotFacts(), mappings: [Mapping] = [],
        locations: [Location] = [], samples: [Sample] = []
    ) {
        self.facts = facts
        self.mappings = mappings
        self.locations = locations
        self.samples = samples
    }

    /// Whether every index in the snapshot is valid.
    package var isConsistent: Bool {
        locations.allSatisfy { $0.mapping.map(mappings.indices.contains) ?? true }
            && samples.allSatisfy { $0.stack.allSatisfy(locations.indices.contains) }
    }

    /// The sums over all samples.
    package var totals: AllocationCounts { samples.reduce(into: .zero) { $0 += $1.counts } }

    /// The variance of the totals.
    package var variance: SamplingVariance { samples.reduce(into: .zero) { $0 += $1.variance } }

    /// Whether anything in it was sampled, so that sums are estimates.
    package var isSampled: Bool { samples.contains { $0.variance != .zero } }
}

/// The blocks born at one stack trace in one epoch.
package struct Sample: Sendable, Hashable {
    /// Indices into ``Snapshot/locations``, leaf first.
    package var stack: [Int]
    /// The birth epoch, from 1; 0 when the source has none, and for blocks of past epochs that are all
    /// freed.
    package var epoch: UInt32
    package var counts: AllocationCounts
    package var variance: SamplingVariance
    /// Which of an interpreter's allocators gave the blocks out; `nil` where there is no interpreter.
    package var domain: MemoryDomain?

    package init(
        stack: [Int], epoch: UInt32 = 0, counts: AllocationCounts,
        variance: SamplingVariance = .zero, domain: MemoryDomain? = nil
    ) {
        self.stack = stack
        self.epoch = epoch
        self.counts = counts
        self.variance = variance
        self.domain = domain
    }
}

/// CPython's memory domains (PEP 445), and what asked malloc itself.
package enum MemoryDomain: String, Sendable, CaseIterable {
    case malloc
    case raw
    case mem
    case object
}
