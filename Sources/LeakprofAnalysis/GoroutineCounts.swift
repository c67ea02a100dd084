package import LeakprofModel

/// How many goroutines one `go` statement began that are still there, and how many there were before.
package struct GoroutineRow: Sendable, Equatable {
    package var creator: [Frame]
    package var base: Int64
    package var current: Int64
    /// By what they do, most first.
    package var states: [(name: String, base: Int64, current: Int64)]

    package var change: Int64 { current.saturatingSubtract(base) }

    package static func == (left: Self, right: Self) -> Bool {
        left.creator == right.creator && left.base == right.base && left.current == right.current
            && left.states.elementsEqual(right.states, by: ==)
    }
}

/// Goroutines by the statement that began them, of one moment or compared with an earlier one.
package struct GoroutineCounts: Sendable {
    package var base: GoroutineSnapshot?
    package var current: GoroutineSnapshot
    /// By the size of the change, number, and name.
    package var rows: [GoroutineRow]

    package init(of current: GoroutineSnapshot, since base: GoroutineSnapshot? = nil) {
        self.current = current
        self.base = base
        var counts: [[Frame]: [String: (base: Int64, current: Int64)]] = [:]
        for group in base?.groups ?? [] {
            let sum = counts[group.creator.frames]?[group.state]?.base ?? 0
            counts[group.creator.frames, default: [:]][group.state, default: (0, 0)].base =
                sum.saturatingAdd(group.count)
        }
        for group in current.groups {
            let sum = counts[group.creator.frames]?[group.state]?.current ?? 0
            counts[group.creator.frames, default: [:]][group.state, default: (0, 0)].current =
                sum.saturatingAdd(group.count)
        }
        rows = counts.map { creator, states in
            GoroutineRow(
                creator: creator,
                base: states.values.reduce(0) { $0.saturatingAdd($1.base) },
                current: states.values.reduce(0) { $0.saturatingAdd($1.current) },
                states: states.map { ($0.key, $0.value.base, $0.value.current) }.sorted {
                    ($1.current, $1.base, $0.name) < ($0.current, $0.base, $1.name)
                })
        }.sorted { first, second in
            (second.change.magnitude, second.current, Self.name(first))
                < (first.change.magnitude, first.current, Self.name(second))
        }
        if base == nil {
            rows.sort { ($1.current, Self.name($0)) < ($0.current, Self.name($1)) }
        }
    }

    private static func name(_ row: GoroutineRow) -> String {
        row.creator.map { "\($0.function) \($0.file):\($0.line)" }.joined(separator: " ")
    }
}
