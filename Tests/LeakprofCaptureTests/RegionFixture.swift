import CLeakprofLayout
import LeakprofTestSupport

/// A real region, of a sample that ended, and variations on it.
struct RegionFixture {
    let bytes: [UInt8]
    let name: String

    /// 1000 blocks of 1234 bytes, and what the C library allocated, in the smallest region there is.
    static func make() async throws -> RegionFixture {
        let sample = try await SampleProgram.build("steady-growth.c")
        let recording = try Recording(["LEAKPROF_KEEP": "1", "LEAKPROF_REGION_SIZE": "256KiB"])
        let (_, status) = try await recording.with(sample.path) { program in
            try await program.line(startingWith: "ready")
            try await program.send("\n")
            try await program.line(startingWith: "grown")
        }
        guard status == 0, let path = recording.regions.first else {
            throw TestFailure("the sample left no region")
        }
        return RegionFixture(
            bytes: try Files.bytes(of: path), name: String(path.split(separator: "/").last ?? ""))
    }

    /// Changes a copy of the header.
    func withHeader(_ change: (inout lp_header) -> Void) -> [UInt8] {
        var copy = bytes
        copy.withUnsafeMutableBytes { raw in
            var header = raw.loadUnaligned(as: lp_header.self)
            change(&header)
            raw.storeBytes(of: header, as: lp_header.self)
        }
        return copy
    }
}
