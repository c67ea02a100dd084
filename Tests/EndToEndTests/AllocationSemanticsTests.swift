import LeakprofModel
import LeakprofTestSupport
import Testing

@Suite(.serialized, .timeLimit(.minutes(10))) struct AllocationSemanticsTests {
    private static let settings = [
        "", "MALLOC_CHECK_=3", "MALLOC_PERTURB_=165",
        "GLIBC_TUNABLES=glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1",
        "GLIBC_TUNABLES=glibc.malloc.mxfast=0:glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=1024",
    ]

    /// Results, errno, alignments and usable sizes, which are written to their end.
    @Test(arguments: ["calls", "inquiry"], settings)
    func `calls return and set what they would`(what: String, setting: String) async throws {
        let sample = try await SampleProgram.build("allocation-semantics.c")
        let parts = setting.split(separator: "=", maxSplits: 1).map { String($0) }
        let variables: [String: String?] = parts.isEmpty ? [:] : [parts[0]: parts[1]]
        for mode in ["exact", "sampled", "auto"] {
            let recording = try Recording(["LEAKPROF_MODE": mode, "LEAKPROF_INTERVAL": "4KiB"])
            let bare = try await recording.expectUnchanged(
                sample.path, [what], adding: variables)
            #expect(bare.status == 0)
            #expect(bare.errors == "")
        }
    }

    @Test func `what realloc moved, refused, shrank or freed is counted so`() async throws {
        let sample = try await SampleProgram.build("allocation-semantics.c")
        let recording = try Recording()

        let (snapshot, status) = try await recording.snapshotWhenReady(sample.path, ["kept"])

        #expect(status == 0)
        for function in ["keep_grown", "keep_refused", "keep_shrunk"] {
            let counts = snapshot.counts(below: function)
            #expect(counts.inuseObjects == 100, "\(function)")
            #expect(counts.inuseSpace == 400_100, "\(function)")
        }
        #expect(snapshot.counts(below: "keep_none").inuseObjects == 0)
        #expect(snapshot.counts(below: "keep_none").allocSpace == 400_100)
        #expect(snapshot.statistics["unknown_frees"] == nil)
        #expect(snapshot.dropped == [])
    }
}
