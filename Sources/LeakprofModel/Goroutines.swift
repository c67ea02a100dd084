/// The goroutines of a Go program at one moment, by the `go` statement that began them and what they do.
package struct GoroutineSnapshot: Sendable, Equatable {
    package var facts: SnapshotFacts
    /// The program.
    package var mappings: [Mapping]
    package var groups: [GoroutineGroup]

    package init(
        facts: SnapshotFacts = SnapshotFacts(), mappings: [Mapping] = [],
        groups: [GoroutineGroup] = []
    ) {
        self.facts = facts
        self.mappings = mappings
        self.groups = groups
    }

    /// How many there are.
    package var total: Int64 { groups.reduce(0) { $0.saturatingAdd($1.count) } }
}

/// Goroutines that one statement began and that do the same.
package struct GoroutineGroup: Sendable, Hashable {
    /// Where the statement is, innermost inlined function first; `address` is 0 for a placeholder.
    package var creator: Location
    /// What they wait for, in the runtime's words (`chan receive`), or `running`, `runnable`, `syscall`.
    package var state: String
    package var count: Int64

    package init(creator: Location, state: String, count: Int64) {
        self.creator = creator
        self.state = state
        self.count = count
    }
}
