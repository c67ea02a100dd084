package import LeakprofModel

/// The frame a report names for a stack trace: the innermost one that is not allocation machinery.
package struct Site: Sendable, Hashable {
    package var frame: Frame
    /// The file name of the mapping the frame's code lies in; empty when there is none.
    package var module: String

    package init(frame: Frame, module: String) {
        self.frame = frame
        self.module = module
    }

    /// Whether it belongs to how threads and programs begin.
    package var isEntry: Bool { FrameClassifier.isEntry(frame) }
}

extension Mapping {
    /// Whether it is a library every program of its language has, such as libc.
    package var isRuntimeLibrary: Bool { FrameClassifier.isRuntimeLibrary(name) }
}

/// A snapshot's stack traces as frames, with what every report needs of them worked out once.
package struct StackFrames: Sendable {
    private let snapshot: Snapshot
    /// Per location, per frame: whether it is allocation machinery.
    private let isMachinery: [[Bool]]
    /// Per location: its frames, made once because many stacks have them in common.
    private let sites: [[Site]]

    package init(_ snapshot: Snapshot) {
        self.snapshot = snapshot
        let modules = snapshot.mappings.map(\.name)
        sites = snapshot.locations.map { location in
            let module = location.mapping.map { modules[$0] } ?? ""
            return location.frames.map { Site(frame: $0, module: module) }
        }
        isMachinery = snapshot.locations.map { location in
            let mapping = location.mapping.map { snapshot.mappings[$0] }
            return location.frames.map {
                FrameClassifier.isAllocationMachinery($0, in: mapping)
            }
        }
    }

    /// Every frame of the stack, leaf first, inlined ones included.
    package func sites(of sample: Sample) -> [Site] {
        var result: [Site] = []
        result.reserveCapacity(sample.stack.count)
        for index in sample.stack { result += sites[index] }
        return result
    }

    /// How many of the leaf frames are allocation machinery.
    ///
    /// Less than the number of frames: where all are, the innermost one with a source line counts as
    /// the site, or the leaf.
    package func machineryDepth(of sample: Sample) -> Int {
        var depth = 0
        var firstWithLine: Int?
        for index in sample.stack {
            for (position, frame) in snapshot.locations[index].frames.enumerated() {
                if !isMachinery[index][position] { return depth }
                if firstWithLine == nil && frame.line != 0 { firstWithLine = depth }
                depth += 1
            }
        }
        return firstWithLine ?? 0
    }
}
