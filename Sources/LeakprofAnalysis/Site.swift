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

    /// Whether it says nothing of the program: how it begins, code outside of any file that has no name, or a remark
    /// on the stack.
    fileprivate var isNameless: Bool {
        isEntry
            || module.isEmpty && frame.file.isEmpty
                && (frame.function.hasPrefix("0x") || frame.function.hasPrefix("["))
    }
}

extension Mapping {
    /// Whether it is a library every program of its language has, such as libc.
    package var isRuntimeLibrary: Bool { FrameClassifier.isRuntimeLibrary(name) }
}

/// A snapshot's stack traces as frames, with what every report needs of them worked out once.
package struct StackFrames: Sendable {
    let snapshot: Snapshot
    /// The frames of all locations, leaf first, made once because many stacks have them in common.
    let sites: [Site]
    /// Of each of them.
    private let isMachinery: [Bool]
    /// Likewise: whether it belongs to what JavaScript and Java run on.
    private let isManaged: [Bool]
    /// Per location: the index of its first frame; and behind the last location, how many frames there are.
    private let starts: [Int32]

    package init(_ snapshot: Snapshot) {
        self.snapshot = snapshot
        let modules = snapshot.mappings.map(\.name)
        var sites: [Site] = []
        var isMachinery: [Bool] = []
        var isManaged: [Bool] = []
        var starts: [Int32] = [0]
        starts.reserveCapacity(snapshot.locations.count + 1)
        for location in snapshot.locations {
            let module = location.mapping.map { modules[$0] } ?? ""
            let mapping = location.mapping.map { snapshot.mappings[$0] }
            for frame in location.frames {
                sites.append(Site(frame: frame, module: module))
                isMachinery.append(FrameClassifier.isAllocationMachinery(frame, in: mapping))
                isManaged.append(FrameClassifier.isManagedRuntime(frame, in: mapping))
            }
            starts.append(Int32(sites.count))
        }
        self.sites = sites
        self.isMachinery = isMachinery
        self.isManaged = isManaged
        self.starts = starts
    }

    /// Every frame of the stack, leaf first, inlined ones included.
    package func sites(of sample: Sample) -> [Site] {
        var result: [Site] = []
        result.reserveCapacity(sample.stack.count)
        for index in sample.stack { result += sites[indices(of: index)] }
        return result
    }

    /// The same frames as indices into ``sites``.
    func read(_ sample: Sample, into frames: inout [Int32]) {
        frames.removeAll(keepingCapacity: true)
        for index in sample.stack { frames.append(contentsOf: starts[index]..<starts[index + 1]) }
    }

    private func indices(of location: Int) -> Range<Int> {
        Int(starts[location])..<Int(starts[location + 1])
    }

    /// How many of the leaf frames are allocation machinery.
    ///
    /// Less than the number of frames: where all are, the innermost one with a source line counts as
    /// the site, or the leaf. What Node.js or a JVM does for a program is machinery as well, if the program's own code
    /// is on the stack.
    package func machineryDepth(of sample: Sample) -> Int {
        var depth = 0
        var firstWithLine: Int?
        var firstManaged: Int?
        for location in sample.stack {
            for index in indices(of: location) {
                let isSite =
                    !isMachinery[index] && (firstManaged == nil || !sites[index].isNameless)
                if isSite && !isManaged[index] { return depth }
                if isSite && firstManaged == nil { firstManaged = depth }
                if firstWithLine == nil && sites[index].frame.line != 0 { firstWithLine = depth }
                depth += 1
            }
        }
        return firstManaged ?? firstWithLine ?? 0
    }
}
