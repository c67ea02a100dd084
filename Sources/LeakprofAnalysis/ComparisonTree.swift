package import LeakprofModel

/// Two snapshots merged into one tree of frames, from the outermost functions inwards, and into another one
/// from the allocation sites outwards.
///
/// For each stack trace with a bytes in the base and b in the current snapshot, `kept` is min(a, b),
/// `grown` max(0, b − a) and `shrunk` max(0, a − b). All three are never negative and add up, so a frame's
/// sums over what it called are exact and no growth cancels against shrinkage elsewhere.
package struct ComparisonTree: Sendable {
    /// A frame in its place on the stacks that run through it.
    package struct Node: Sendable {
        package var frame: Frame
        package var module: String
        /// The build ID of the module; empty when it has none.
        package var buildID: String
        /// Lines of the function on these stacks, the one with the most growth first.
        package var lines: [Int64]
        package var kept: Int64
        package var grown: Int64
        package var shrunk: Int64
        /// Blocks in the base and in the current snapshot.
        package var baseObjects: Int64
        package var currentObjects: Int64
        /// The standard error of the change; 0 where all was recorded.
        package var changeError: Int64
        /// The epoch that half of the current snapshot's live blocks were born in or before; 0 when it is not
        /// known, or when what is counted is not in use.
        package var medianEpoch: UInt32 = 0
        /// Blocks allocated after the base snapshot, and those of them that are live in the current one; 0 when that
        /// can't be told.
        ///
        /// A tree of sites does not know it of its frames.
        package var newObjects: Int64 = 0
        package var newLiveObjects: Int64 = 0
        /// Whether what grew is worth a look, and whether what shrank is: see ``ComparisonTree/notable``.
        package var hasNotableGrowth: Bool
        package var hasNotableShrinkage: Bool
        /// Whether it is a leaf frame that only carries out the allocation.
        package var isMachinery: Bool
        /// The frames called (among sites, the callers), most growth first, then by name; of one snapshot
        /// alone, the largest first.
        package var children: [Node]

        package var base: Int64 { kept.saturatingAdd(shrunk) }
        package var current: Int64 { kept.saturatingAdd(grown) }
        package var change: Int64 { grown.saturatingSubtract(shrunk) }
    }

    /// How much of a tree is built.
    package struct Limits: Sendable {
        /// The share of everything, of all growth, or of all shrinkage that a frame has at least.
        package var share: Double
        /// The most frames of each of the two trees; the share is raised until that is enough.
        package var frames: Int

        package init(share: Double = 0, frames: Int = .max) {
            self.share = share
            self.frames = frames
        }
    }

    /// Frames deeper than this, counted from the root, are left out: profiles from elsewhere may have
    /// stacks of any depth.
    package static let depthLimit = 512

    /// Stands for all stacks; its frame is empty.
    package var root: Node
    /// Stands for all stacks; its children are the sites, theirs the callers, without allocation machinery.
    package var sites: Node
    /// Frames below ``root`` that the limits left out.
    package var omitted: Int
    package var sampleType: SampleType
    /// Changes smaller than this are not worth a look: 64 KiB, or a thousandth of all growth if that is more;
    /// of blocks, a thousandth.
    package var notable: Int64

    /// Merges the stacks of both snapshots that `filters` accept.
    ///
    /// Without a `base`, it is the tree of one snapshot, in which everything is `kept`.
    package init(
        base: Snapshot?, current: Snapshot, filters: Filters = Filters(),
        sampleType: SampleType = .inuseSpace, limits: Limits = Limits()
    ) {
        self.sampleType = sampleType
        var stacks = MergedStacks(sampleType: sampleType, filters: filters)
        if let base {
            let cut = SnapshotDiff.cutEpoch(of: base, before: current)
            stacks.add(base, .base, cut: cut)
            stacks.add(current, .current, cut: cut)
        } else {
            stacks.add(current, .both, cut: nil)
        }
        let tree = MergedTree(stacks, limits)
        notable = tree.notable
        omitted = tree.omitted
        (root, sites) = concurrently({ tree.root() }, { InvertedTree(tree, limits).root() })
    }
}
