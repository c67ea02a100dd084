internal import LeakprofModel

/// When the live blocks below the nodes of a tree were born.
struct BirthEpochs {
    /// Those that any block was born in, the oldest first.
    private let epochs: [UInt32]
    /// By end: where its blocks begin in `blocks`; and where the last one's end.
    private let starts: [Int32]
    private let blocks: [(epoch: Int32, blocks: Int64)]

    /// More than any recording has; a profile that somebody made up may have more, and then no ages.
    private static let epochsLimit = 1024

    init(_ stacks: MergedStacks) {
        let all = Set(stacks.births.map(\.epoch))
        epochs = all.count <= Self.epochsLimit ? all.sorted() : []
        var starts = [Int32](repeating: 0, count: stacks.ends.count + 1)
        for birth in stacks.births { starts[Int(birth.end) + 1] += 1 }
        for index in stacks.ends.indices { starts[index + 1] += starts[index] }
        self.starts = starts
        guard !epochs.isEmpty else {
            blocks = []
            return
        }
        let indices = Dictionary(uniqueKeysWithValues: zip(epochs, Int32(0)...))
        var blocks = Array(
            repeating: (epoch: Int32(0), blocks: Int64(0)), count: stacks.births.count)
        for birth in stacks.births {
            let position = Int(starts[Int(birth.end)])
            blocks[position] = (indices[birth.epoch] ?? 0, birth.blocks)
            starts[Int(birth.end)] += 1
        }
        self.blocks = blocks
    }

    /// Blocks by epoch.
    struct Sums {
        fileprivate var blocks: [Int64]

        static func += (left: inout Self, right: Self) {
            for index in left.blocks.indices {
                MergedAmounts.add(right.blocks[index], to: &left.blocks[index])
            }
        }
    }

    var none: Sums { Sums(blocks: Array(repeating: 0, count: epochs.count)) }

    /// Counts the blocks of one end.
    func add(end: Int32, to sums: inout Sums) {
        guard !epochs.isEmpty else { return }
        for index in Int(starts[Int(end)])..<Int(starts[Int(end) + 1]) {
            MergedAmounts.add(blocks[index].blocks, to: &sums.blocks[Int(blocks[index].epoch)])
        }
    }

    /// The epoch that half of the blocks were born in or before; 0 when there is no block.
    func median(of sums: Sums) -> UInt32 {
        let all = sums.blocks.reduce(Int64(0)) { $0.saturatingAdd($1) }
        var left = all / 2 + all % 2
        for (epoch, blocks) in zip(epochs, sums.blocks) where blocks > 0 {
            left = left.saturatingSubtract(blocks)
            if left <= 0 { return epoch }
        }
        return 0
    }
}
