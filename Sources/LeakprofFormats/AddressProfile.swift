internal import Glibc
internal import LeakprofModel
internal import LeakprofPprof

/// The text heap profiles of gperftools (`heap profile: … @ heapprofile`) and jemalloc (`heap_v2/524288`):
/// sums and return addresses by stack, then the lines of /proc/self/maps.
///
/// https://gperftools.github.io/gperftools/heapprofile.html and `bin/jeprof.in` of jemalloc describe them.
enum AddressProfile {
    private static let gperftools = "heap profile:"
    private static let jemalloc = "heap_v2/"

    static func recognizes(_ bytes: [UInt8]) -> Bool {
        bytes.starts(with: gperftools.utf8) || bytes.starts(with: jemalloc.utf8)
    }

    static func decode(_ bytes: [UInt8]) throws(ProfileError) -> Snapshot {
        var lines = TextLines(bytes)
        guard let first = lines.next() else { throw .unrecognized }
        var assembler = StackAssembler()
        let sampling: Sampling
        if first.starts(with: jemalloc.utf8) {
            sampling = try Sampling(ofJemalloc: first)
            try readJemalloc(&lines, sampling, into: &assembler)
        } else {
            sampling = try Sampling(ofGperftools: first)
            try readGperftools(&lines, sampling, into: &assembler)
        }
        assembler.setPeriod(sampling.interval == 0 ? 1 : sampling.interval)
        try assembler.setMappings(mappings(&lines))
        if assembler.snapshot.locations.contains(where: { $0.mapping != nil }) {
            assembler.note(
                "the profile has no build IDs: names are those of the files that are there now")
        }
        return assembler.snapshot
    }

    // MARK: Stacks

    /// `COUNT: BYTES [COUNT: BYTES] @ ADDRESS…`: in use, and allocated at all.
    private static func readGperftools(
        _ lines: inout TextLines, _ sampling: Sampling, into assembler: inout StackAssembler
    ) throws(ProfileError) {
        while let line = lines.next() {
            if isEndOfStacks(line) { return }
            var scanner = TextScanner(line)
            scanner.skipSpaces()
            if scanner.isAtEnd { continue }
            let sums = try sums(&scanner)
            scanner.skipSpaces()
            guard scanner.take("@") else { throw damaged(line) }
            try add(sums, try stack(&scanner, &assembler), sampling, to: &assembler)
        }
    }

    /// `@ ADDRESS…`, and the sums of all threads together in a line behind it: `t*: COUNT: BYTES [COUNT: BYTES]`.
    private static func readJemalloc(
        _ lines: inout TextLines, _ sampling: Sampling, into assembler: inout StackAssembler
    ) throws(ProfileError) {
        // Without one, the sums are those of the whole profile.
        var stack: [Int]?
        while let line = lines.next() {
            if isEndOfStacks(line) { return }
            var scanner = TextScanner(line)
            scanner.skipSpaces()
            if scanner.take("@") {
                stack = try self.stack(&scanner, &assembler)
            } else if scanner.take("t*:") {
                let sums = try sums(&scanner)
                if let known = stack { try add(sums, known, sampling, to: &assembler) }
                stack = nil
            } else if !scanner.isAtEnd, !scanner.take("t") {
                throw damaged(line)
            }
        }
    }

    private static func isEndOfStacks(_ line: ArraySlice<UInt8>) -> Bool {
        line.starts(with: "MAPPED_LIBRARIES:".utf8)
            || line.starts(with: "--- Memory map:".utf8)
    }

    private static func damaged(_ line: ArraySlice<UInt8>) -> ProfileError {
        .inconsistent("there is a line “\(String(decoding: line.prefix(60), as: UTF8.self))”")
    }

    private typealias Sums = (inUse: Sampling.Sum, allocated: Sampling.Sum)

    private static func sums(_ scanner: inout TextScanner) throws(ProfileError) -> Sums {
        let line = scanner.rest
        func sum(_ scanner: inout TextScanner) -> Sampling.Sum? {
            guard let objects = scanner.number(), scanner.take(":"), let bytes = scanner.number()
            else { return nil }
            return Sampling.Sum(objects: objects, bytes: bytes)
        }
        guard let inUse = sum(&scanner) else { throw damaged(line) }
        scanner.skipSpaces()
        guard scanner.take("["), let allocated = sum(&scanner), scanner.take("]") else {
            throw damaged(line)
        }
        return (inUse, allocated)
    }

    private static func stack(
        _ scanner: inout TextScanner, _ assembler: inout StackAssembler
    ) throws(ProfileError) -> [Int] {
        let line = scanner.rest
        var stack: [Int] = []
        while let address = scanner.hexadecimal() {
            stack.append(try assembler.location(ofReturnAddress: address))
        }
        scanner.skipSpaces()
        guard scanner.isAtEnd else { throw damaged(line) }
        return stack
    }

    private static func add(
        _ sums: Sums, _ stack: [Int], _ sampling: Sampling, to assembler: inout StackAssembler
    ) throws(ProfileError) {
        let inUse = sampling.estimate(sums.inUse)
        let allocated = sampling.estimate(sums.allocated).sum
        try assembler.add(
            stack,
            AllocationCounts(
                allocObjects: allocated.objects, allocSpace: allocated.bytes,
                inuseObjects: inUse.sum.objects, inuseSpace: inUse.sum.bytes),
            inUse.variance)
    }

    // MARK: Mappings

    /// More than any process has.
    private static let mappingsLimit = 1 << 17

    /// The files in the lines of proc(5)'s maps that have code; other lines are passed over.
    ///
    /// A file has a line for each part with its own permissions, the first with the file's header.
    private static func mappings(_ lines: inout TextLines) throws(ProfileError) -> [Mapping] {
        var mappings: [(mapping: Mapping, hasCode: Bool)] = []
        while let line = lines.next() {
            guard let (mapping, hasCode) = mapping(line) else { continue }
            if let last = mappings.last, last.mapping.path == mapping.path,
                mapping.fileOffset > last.mapping.fileOffset, mapping.start >= last.mapping.limit
            {
                mappings[mappings.count - 1].mapping.limit = mapping.limit
                mappings[mappings.count - 1].hasCode = last.hasCode || hasCode
                continue
            }
            guard mappings.count < mappingsLimit else {
                throw .inconsistent("it has more mappings than any process")
            }
            mappings.append((mapping, hasCode))
        }
        return mappings.filter(\.hasCode).map(\.mapping)
    }

    /// `START-LIMIT PERMISSIONS OFFSET DEVICE INODE PATH`.
    private static func mapping(
        _ line: ArraySlice<UInt8>
    ) -> (mapping: Mapping, hasCode: Bool)? {
        var scanner = TextScanner(line)
        guard let start = scanner.hexadecimal(), scanner.take("-"),
            let limit = scanner.hexadecimal(), limit > start
        else { return nil }
        let hasCode = scanner.word().contains("x")
        guard let offset = scanner.hexadecimal() else { return nil }
        _ = scanner.word()
        _ = scanner.word()
        scanner.skipSpaces()
        let path = String(decoding: scanner.rest, as: UTF8.self)
        guard path.utf8.first == UInt8(ascii: "/") else { return nil }
        return (
            Mapping(
                start: start, limit: limit, fileOffset: offset,
                path: path.clipped(toBytes: Frame.nameLimit)), hasCode
        )
    }
}

/// How sampled sums become estimates.
private struct Sampling {
    struct Sum {
        var objects: Int64
        var bytes: Int64
    }

    /// Mean bytes between samples; 0 when every block was recorded.
    let interval: Int64

    /// The rest of `heap profile: COUNT: BYTES [COUNT: BYTES] @ KIND/INTERVAL`.
    init(ofGperftools line: ArraySlice<UInt8>) throws(ProfileError) {
        let kind = line.lastIndex(of: UInt8(ascii: "@")).map { line[($0 + 1)...] } ?? []
        var scanner = TextScanner(kind)
        scanner.skipSpaces()
        if scanner.take("heapprofile") {
            interval = 0
            return
        }
        guard scanner.take("heap_v2/"), let bytes = scanner.number() else {
            throw .notAHeapProfile(sampleTypes: [
                String(decoding: kind.prefix(60), as: UTF8.self)
            ])
        }
        interval = bytes
    }

    init(ofJemalloc line: ArraySlice<UInt8>) throws(ProfileError) {
        var scanner = TextScanner(line)
        guard scanner.take("heap_v2/"), let bytes = scanner.number() else {
            throw .inconsistent("it has no sampling interval")
        }
        interval = bytes
    }

    /// What `sum` stands for: a block of k bytes is sampled with the probability 1 − exp(−k/T).
    ///
    /// As jeprof does, all blocks of a stack are taken to be of their mean size; jemalloc's numbers are
    /// written so that this makes up for it.
    func estimate(_ sum: Sum) -> (sum: Sum, variance: SamplingVariance) {
        guard interval > 1, sum.objects > 0, sum.bytes > 0 else { return (sum, .zero) }
        let objects = Double(sum.objects)
        let size = Double(sum.bytes) / objects
        let weight = -1 / expm1(-size / Double(interval))
        let ofOne = weight * (weight - 1)
        return (
            Sum(
                objects: Int64(saturating: objects * weight),
                bytes: Int64(saturating: Double(sum.bytes) * weight)),
            SamplingVariance(
                inuseObjects: Int64(saturating: objects * ofOne),
                inuseSpace: Int64(saturating: objects * size * size * ofOne))
        )
    }
}

extension Int64 {
    /// The nearest integer there is.
    init(saturating number: Double) {
        self = Int64(exactly: number.rounded()) ?? (number < 0 ? .min : .max)
    }
}
