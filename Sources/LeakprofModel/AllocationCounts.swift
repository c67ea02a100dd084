/// The four sums a heap profile keeps per stack trace, in pprof's order and under pprof's names.
package enum SampleType: String, Sendable, CaseIterable, Codable {
    /// Blocks allocated since recording began.
    case allocObjects = "alloc_objects"
    /// Their sizes, in bytes.
    case allocSpace = "alloc_space"
    /// Blocks not freed yet.
    case inuseObjects = "inuse_objects"
    /// Their sizes, in bytes.
    case inuseSpace = "inuse_space"

    /// The unit of the values, as pprof spells it.
    package var unit: String {
        switch self {
        case .allocObjects, .inuseObjects: "count"
        case .allocSpace, .inuseSpace: "bytes"
        }
    }
}

/// Sums over a set of blocks: all that were allocated, and those of them still in use.
///
/// Objects are blocks; space is requested sizes in bytes. Sums saturate at the ends of `Int64`, because
/// a profile from elsewhere may hold any number.
package struct AllocationCounts: Sendable, Hashable {
    package var allocObjects: Int64
    package var allocSpace: Int64
    package var inuseObjects: Int64
    package var inuseSpace: Int64

    package static let zero = AllocationCounts()

    package init(
        allocObjects: Int64 = 0, allocSpace: Int64 = 0, inuseObjects: Int64 = 0,
        inuseSpace: Int64 = 0
    ) {
        self.allocObjects = allocObjects
        self.allocSpace = allocSpace
        self.inuseObjects = inuseObjects
        self.inuseSpace = inuseSpace
    }

    /// The sum of one kind.
    package subscript(type: SampleType) -> Int64 {
        switch type {
        case .allocObjects: allocObjects
        case .allocSpace: allocSpace
        case .inuseObjects: inuseObjects
        case .inuseSpace: inuseSpace
        }
    }

    package static func + (left: Self, right: Self) -> Self {
        AllocationCounts(
            allocObjects: left.allocObjects.saturatingAdd(right.allocObjects),
            allocSpace: left.allocSpace.saturatingAdd(right.allocSpace),
            inuseObjects: left.inuseObjects.saturatingAdd(right.inuseObjects),
            inuseSpace: left.inuseSpace.saturatingAdd(right.inuseSpace))
    }

    package static func - (left: Self, right: Self) -> Self {
        AllocationCounts(
            allocObjects: left.allocObjects.saturatingSubtract(right.allocObjects),
            allocSpace: left.allocSpace.saturatingSubtract(right.allocSpace),
            inuseObjects: left.inuseObjects.saturatingSubtract(right.inuseObjects),
            inuseSpace: left.inuseSpace.saturatingSubtract(right.inuseSpace))
    }

    package static func += (left: inout Self, right: Self) { left = left + right }
}

/// How uncertain sampled sums are: the variances of the in-use estimates, 0 where all was recorded.
///
/// Each sampled block of size k under mean interval T stands for w = 1 / (1 − exp(−k/T)) blocks and adds
/// w (w − 1) to the variance of the objects and k² w (w − 1) to that of the space. Variances of
/// separate blocks add up; the standard error is the square root of the sum.
package struct SamplingVariance: Sendable, Hashable {
    /// In objects².
    package var inuseObjects: Int64
    /// In bytes².
    package var inuseSpace: Int64

    package static let zero = SamplingVariance()

    package init(inuseObjects: Int64 = 0, inuseSpace: Int64 = 0) {
        self.inuseObjects = inuseObjects
        self.inuseSpace = inuseSpace
    }

    package static func + (left: Self, right: Self) -> Self {
        SamplingVariance(
            inuseObjects: left.inuseObjects.saturatingAdd(right.inuseObjects),
            inuseSpace: left.inuseSpace.saturatingAdd(right.inuseSpace))
    }

    package static func += (left: inout Self, right: Self) { left = left + right }
}

extension FixedWidthInteger {
    /// The sum, or the nearest representable number.
    @inlinable package func saturatingAdd(_ other: Self) -> Self {
        let (sum, overflow) = addingReportingOverflow(other)
        if !overflow { return sum }
        return other < 0 ? .min : .max
    }

    /// The difference, or the nearest representable number.
    @inlinable package func saturatingSubtract(_ other: Self) -> Self {
        let (difference, overflow) = subtractingReportingOverflow(other)
        if !overflow { return difference }
        return other < 0 ? .max : .min
    }

    /// How far apart the two are; at most `max`.
    package func distance(_ other: Self) -> Self {
        Self(clamping: saturatingSubtract(other).magnitude)
    }
}
