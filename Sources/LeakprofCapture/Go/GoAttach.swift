internal import Glibc
internal import LeakprofModel
internal import LeakprofPprof

/// Eight bytes that leakprof writes into a Go process, or has written: `runtime.MemProfileRate`.
package struct GoRateChange: Sendable, Equatable {
    /// Where it is in the process.
    package let address: UInt64
    /// Both in bytes; 0 when nothing is sampled.
    package let from: Int64
    package let to: Int64
    /// What was kept of before; `nil` when nothing was written.
    package let baseline: String?
}

/// What became of the rate of a Go process when leakprof let go of it.
package enum GoDetachment: Sendable, Equatable {
    case restored(GoRateChange)
    /// It is what it was before attach already.
    case wasRestored(Int64)
    /// It is neither what attach wrote nor what was there before: the program has set it itself, and it stays.
    case leftAlone(present: Int64, written: Int64)
}

extension GoProcess {
    /// Rates that make sense: up to a sample per TiB.
    package static let rates: ClosedRange<Int64> = 1...(1 << 40)
    /// More buckets than programs have; what is kept of them has to fit a profile's comment.
    private static let bucketsLimit = 1 << 18

    /// Has the program sample its allocations from now on, one per `rate` bytes on average, or if not `writes`, only
    /// finds out what would be written for that.
    ///
    /// What was sampled before is kept in a file in the recording directory, so that ``capture()`` can tell it from
    /// what is sampled since. The rate is read back. Throws ``CaptureError/unchanged(_:advice:)`` and has changed
    /// nothing when anything is not as expected.
    package func attach(rate: Int64, writes: Bool) throws(CaptureError) -> GoRateChange {
        let process = try liveProcess()
        if let known = try GoBaselineFile.find(of: process, in: directory) {
            throw unchanged(
                "attach to process \(pid)",
                "it is attached already, since rate \(known.attachment.oldRate) was replaced by "
                    + "\(known.attachment.newRate): \(known.path)",
                "leakprof snapshot \(pid), or first leakprof detach \(pid)")
        }
        let (address, heap, baseline) = try read {
            (process, reader) throws(GoFailure) -> (UInt64, GoHeap, Snapshot) in
            let address = try RateVariable.locate(reader, process)
            let heap = try self.heap(reader)
            return (address, heap, self.baseline(heap, process, reader))
        }
        try check(heap, rate)
        guard writes else {
            return GoRateChange(address: address, from: heap.rate, to: rate, baseline: nil)
        }
        let variable = try RateVariable(process, at: address)
        guard variable.value == heap.rate else { throw changedMeanwhile }
        let bytes = try encode(baseline, heap, rate: rate)
        for path in GoBaselineFile.left(ofPid: pid, in: directory) { unlink(path) }
        let path = try GoBaselineFile.create(bytes, for: process, in: directory)
        guard variable.value == heap.rate, variable.write(rate) else {
            unlink(path)
            throw changedMeanwhile
        }
        return GoRateChange(address: address, from: heap.rate, to: rate, baseline: path)
    }

    /// Gives the program the rate back that it had, and removes what was kept.
    ///
    /// Writes nothing unless the rate is what ``attach(rate:writes:)`` wrote. Throws
    /// ``CaptureError/unchanged(_:advice:)`` when the process is not attached, or can't be written to.
    package func detach() throws(CaptureError) -> GoDetachment {
        let process = try liveProcess()
        guard let known = try GoBaselineFile.find(of: process, in: directory) else {
            throw unchanged(
                "detach from process \(pid)", "leakprof is not attached to it",
                "leakprof attach \(pid)")
        }
        let attachment = known.attachment
        guard attachment.oldRate == 0 || Self.rates.contains(attachment.oldRate) else {
            throw unchanged(
                "detach from process \(pid)",
                "\(known.path) has \(attachment.oldRate) for its rate, which can't be one",
                "rm \(known.path)")
        }
        let address = try read { process, reader throws(GoFailure) in
            try RateVariable.locate(reader, process)
        }
        let variable = try RateVariable(process, at: address)
        let present = variable.value
        let result: GoDetachment
        switch present {
        case attachment.newRate:
            guard variable.write(attachment.oldRate) else { throw changedMeanwhile }
            result = .restored(
                GoRateChange(
                    address: address, from: attachment.newRate, to: attachment.oldRate,
                    baseline: known.path))
        case attachment.oldRate: result = .wasRestored(attachment.oldRate)
        case let present?:
            result = .leftAlone(present: present, written: attachment.newRate)
        case nil: throw changedMeanwhile
        }
        unlink(known.path)
        return result
    }

    /// Removes what attach kept of processes of this number that are gone, and returns the files' paths.
    package static func removeBaselines(ofEnded pid: Int32, in directory: String?) -> [String] {
        GoBaselineFile.left(ofPid: pid, in: directory).filter { unlink($0) == 0 }
    }

    private func check(_ heap: GoHeap, _ rate: Int64) throws(CaptureError) {
        let attempt = "attach to process \(pid)"
        guard heap.rate == 0 || Self.rates.contains(heap.rate) else {
            throw unchanged(
                attempt, "runtime.MemProfileRate is \(heap.rate), which can't be right",
                GoFailure.ownProfile)
        }
        guard heap.rate != rate else {
            throw unchanged(
                attempt, "it samples every \(rate) bytes already", "leakprof snapshot \(pid)")
        }
        guard heap.buckets.count <= Self.bucketsLimit else {
            throw unchanged(
                attempt, "its heap profile has more than \(Self.bucketsLimit) records",
                "leakprof snapshot \(pid), at the rate it has")
        }
    }

    private func encode(
        _ snapshot: Snapshot, _ heap: GoHeap, rate: Int64
    ) throws(CaptureError) -> [UInt8] {
        var snapshot = snapshot
        snapshot.facts.recording?.go?.attachment = GoAttachment(
            attachedAt: snapshot.facts.capturedAt, oldRate: heap.rate, newRate: rate,
            residentBytes: snapshot.facts.process?.residentBytes,
            image: GoReader.image(of: pid), buckets: GoBaseline.numbers(of: heap.buckets))
        do {
            return try ProfileEncoder.encode(snapshot, tool: "leakprof \(Leakprof.version)")
        } catch {
            throw unchanged(
                "attach to process \(pid)", "its heap profile can't be kept: \(error)",
                GoFailure.ownProfile)
        }
    }

    private func unchanged(
        _ attempt: String, _ reason: String, _ advice: String
    ) -> CaptureError {
        .unchanged("can't \(attempt): \(reason); nothing was written to it", advice: advice)
    }

    private var changedMeanwhile: CaptureError {
        .unchanged(
            "can't set runtime.MemProfileRate of process \(pid): it has ended, or has set the variable "
                + "itself meanwhile, or may not be written to; nothing was written to it",
            advice: "again, or leakprof doctor \(pid)")
    }
}

/// `runtime.MemProfileRate` in a running process, to be written.
private struct RateVariable: ~Copyable {
    private let memory: Int32
    private let address: UInt64

    /// Where the variable is, once everything that can be known speaks for it.
    static func locate(
        _ reader: GoReader, _ process: LiveProcess
    ) throws(GoFailure) -> UInt64 {
        let found = try reader.require([.memoryProfileRate])
        guard let address = found[.memoryProfileRate] else {
            throw .damaged("runtime.MemProfileRate was not found")
        }
        // What the symbol table says is the file's word; the code is what runs.
        let byCode = reader.variables.addressesByCode(of: [.memoryProfileRate])[
            .memoryProfileRate]
        guard byCode == nil || byCode == address else {
            throw .damaged(
                "its symbol table and its code have runtime.MemProfileRate at different places; nothing "
                    + "is written where that is not certain")
        }
        guard address % 8 == 0, isProgramData(address, process) else {
            throw .damaged(
                "0x\(String(address, radix: 16)), where runtime.MemProfileRate should be, is not in the "
                    + "program's writable data; nothing is written there")
        }
        return address
    }

    /// Whether the address lies where the program's own file is mapped to be written, privately, or in the zeros
    /// (.bss) behind that.
    private static func isProgramData(_ address: UInt64, _ process: LiveProcess) -> Bool {
        guard let executable = process.executable,
            let maps = ProcFile.lines("/proc/\(process.pid)/maps")
        else { return false }
        var endOfFile: UInt64?
        for line in maps {
            // "00815000-00852000 rw-p 00415000 08:02 173521      /usr/bin/prometheus"
            let fields = line.split(
                separator: UInt8(ascii: " "), maxSplits: 5, omittingEmptySubsequences: true)
            let ends = fields.first?.split(separator: UInt8(ascii: "-")).map {
                UInt64(String(decoding: $0, as: UTF8.self), radix: 16)
            }
            guard fields.count >= 5, let ends, ends.count == 2, let start = ends[0],
                let end = ends[1]
            else { return false }
            let path = fields.count > 5 ? fields[5].drop { $0 == UInt8(ascii: " ") } : []
            let isFile = path.elementsEqual(executable.utf8)
            let isZeros = fields[4].elementsEqual("0".utf8) && start == endOfFile
            if address >= start, end >= 8, address <= end - 8 {
                return (isFile || isZeros) && fields[1].elementsEqual("rw-p".utf8)
            }
            endOfFile = isFile ? end : nil
        }
        return false
    }

    /// Opens the memory of this very process, not of another that was given its number.
    init(_ process: LiveProcess, at address: UInt64) throws(CaptureError) {
        let memory = open("/proc/\(process.pid)/mem", O_RDWR | O_CLOEXEC)
        let reason = String(cString: strerror(errno))
        guard memory >= 0, LiveProcess(pid: process.pid)?.startTicks == process.startTicks else {
            if memory >= 0 { close(memory) }
            throw .unchanged(
                "can't write to the memory of process \(process.pid): "
                    + (memory < 0 ? reason : "it has ended")
                    + "; nothing was written to it",
                advice: "sudo leakprof …, or leakprof doctor \(process.pid)")
        }
        self.memory = memory
        self.address = address
    }

    deinit { close(memory) }

    /// `nil` when it can't be read, as when the process has ended.
    var value: Int64? {
        var value: Int64 = 0
        let got = withUnsafeMutableBytes(of: &value) {
            pread(memory, $0.baseAddress, $0.count, off_t(bitPattern: address))
        }
        return got == MemoryLayout<Int64>.size ? value : nil
    }

    /// Writes and reads back; returns whether it is there.
    func write(_ value: Int64) -> Bool {
        let written = withUnsafeBytes(of: value) {
            pwrite(memory, $0.baseAddress, $0.count, off_t(bitPattern: address))
        }
        return written == MemoryLayout<Int64>.size && self.value == value
    }
}

extension off_t {
    fileprivate init(bitPattern address: UInt64) { self = off_t(Int64(bitPattern: address)) }
}
