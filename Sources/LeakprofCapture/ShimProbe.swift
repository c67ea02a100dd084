internal import CLeakprofLayout
internal import Glibc
internal import SystemPackage

/// Finds out why a process has no region, from outside and without stopping it.
enum ShimProbe {
    static func reasonForNoRegion(of process: LiveProcess) -> String? {
        guard process.hasShim else { return "libleakshim.so is not loaded in it" }
        guard let reason = offReason(in: process) else {
            return "libleakshim.so is loaded, but made no region"
        }
        return RegionWords.offReason(reason)
    }

    /// The shim's own word (struct lp_status), found by its mark in the library's writable pages.
    private static func offReason(in process: LiveProcess) -> UInt32? {
        guard let maps = ProcFile.lines("/proc/\(process.pid)/maps"),
            let memory = try? FileDescriptor.open(
                FilePath("/proc/\(process.pid)/mem"), .readOnly, options: [.closeOnExec])
        else { return nil }
        defer { try? memory.close() }
        for line in maps.map({ String(decoding: $0, as: UTF8.self) })
        where line.contains("/libleakshim.so") && line.contains(" rw-p ") {
            let ends = line.prefix { $0 != " " }.split(separator: "-")
            guard ends.count == 2, let start = UInt64(ends[0], radix: 16),
                let end = UInt64(ends[1], radix: 16), end > start, end - start < 1 << 20
            else { continue }
            var bytes = [UInt8](repeating: 0, count: Int(end - start))
            let got = try? bytes.withUnsafeMutableBytes { buffer in
                try memory.read(fromAbsoluteOffset: Int64(clamping: start), into: buffer)
            }
            guard got == bytes.count else { continue }
            if let reason = offReason(in: bytes) { return reason }
        }
        return nil
    }

    private static func offReason(in bytes: [UInt8]) -> UInt32? {
        let size = MemoryLayout<lp_status>.size
        for start in stride(from: 0, through: bytes.count - size, by: 8) {
            let status = bytes.withUnsafeBytes {
                $0.loadUnaligned(fromByteOffset: start, as: lp_status.self)
            }
            if status.mark_low == LP_STATUS_MARK_LOW && status.mark_high == LP_STATUS_MARK_HIGH {
                return status.off_reason
            }
        }
        return nil
    }
}
