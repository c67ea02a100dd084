import Glibc
import LeakprofFormats
import LeakprofModel
import LeakprofPprof
import LeakprofTestSupport
import Testing

/// Small profiles as each tool writes them, shortened by hand.
private enum Input {
    static let gperftools = """
        heap profile:      3:     3000 [     5:     5000] @ heapprofile
             2:     2000 [     3:     3000] @ 0x401100 0x401200 0x7f0000001010
             1:     1000 [     2:     2000] @ 0x402000

        MAPPED_LIBRARIES:
        00400000-00401000 r--p 00000000 fe:00 1        /srv/a program
        00401000-00403000 r-xp 00001000 fe:00 1        /srv/a program
        00403000-00404000 rw-p 00003000 fe:00 1        /srv/a program
        7f0000000000-7f0000002000 r-xp 00000000 fe:00 2        /usr/lib/libother.so
        7f0000002000-7f0000003000 rw-p 00000000 00:00 0
        7ffc00000000-7ffc00001000 r-xp 00000000 00:00 0        [vdso]

        """

    static let jemalloc = """
        heap_v2/524288
          t*: 3: 73728 [0: 0]
          t0: 3: 73728 [0: 0]
        @ 0x401100 0x401200
          t*: 2: 65536 [4: 131072]
          t0: 1: 32768 [4: 131072]
          t1: 1: 32768 [0: 0]
        @ 0x402000
          t*: 1: 8192 [0: 0]

        MAPPED_LIBRARIES:
        00400000-00403000 r-xp 00000000 fe:00 1        /srv/program

        """

    static let massif = """
        desc: --massif-out-file=massif.out
        cmd: ./program
        time_unit: i
        #-----------
        snapshot=0
        #-----------
        time=0
        mem_heap_B=900
        mem_heap_extra_B=8
        mem_stacks_B=0
        heap_tree=peak
        n0: 900 (heap allocation functions) malloc/new/new[], --alloc-fns, etc.
        #-----------
        snapshot=1
        #-----------
        time=100
        mem_heap_B=1000
        mem_heap_extra_B=8
        mem_stacks_B=0
        heap_tree=detailed
        n3: 1000 (heap allocation functions) malloc/new/new[], --alloc-fns, etc.
         n2: 700 0x109164: put (cache.c:3)
          n0: 600 0x10919E: main (main.c:6)
          n0: 90 0x10919F: other(int, char) (in /usr/lib/libother.so)
         n0: 250 0x4E8: ???
         n0: 50 in 3 places, all below massif's threshold (1.00%)
        #-----------
        snapshot=2
        #-----------
        time=200
        mem_heap_B=1200
        mem_heap_extra_B=8
        mem_stacks_B=0
        heap_tree=empty

        """

    static let folded = """
        # a comment
        main (app.py:3);handle (srv/app.py:7);Cache::put(int, char) 100
        main (app.py:3);read (file.c); 20
        main (app.py:3);operator() (const) 3
        main (app.py:3);operator() (const) 4

        """

    static let v8 = """
        {"head":{"callFrame":{"functionName":"(root)","scriptId":"0","url":"","lineNumber":-1,
        "columnNumber":-1},"selfSize":0,"id":1,"children":[{"callFrame":{"functionName":"",
        "scriptId":"80","url":"file:///srv/app.js","lineNumber":6,"columnNumber":1},"selfSize":50,
        "id":2,"children":[{"callFrame":{"functionName":"put","scriptId":"80","url":"node:internal",
        "lineNumber":0,"columnNumber":0},"selfSize":7.5,"id":3,"children":[]}]}]},"samples":[]}
        """

    /// As `memray transform speedscope` writes it.
    static let speedscope = """
        {"$schema":"https://www.speedscope.app/file-format-schema.json","shared":{"frames":[
        {"name":"main","file":"app.py","line":3},{"name":"put"}]},"profiles":[
        {"type":"sampled","name":"Memory","unit":"bytes","startValue":0,"endValue":107,
        "samples":[[0,1],[0]],"weights":[100,7]},
        {"type":"sampled","name":"Allocations","unit":"none","startValue":0,"endValue":3,
        "samples":[[0,1],[0]],"weights":[2,1]}],"name":"app"}
        """

    /// The graph of two snapshots; of the frames below `put`, one is too small for it.
    static let graph = """
        <?xml version="1.0" encoding="UTF-8"?>
        <svg xmlns="http://www.w3.org/2000/svg"><metadata>{&quot;format&quot;:&quot;leakprof-graph-1&quot;,
        &quot;unit&quot;:&quot;bytes&quot;,&quot;inUse&quot;:true,&quot;names&quot;:[&quot;a&quot;,&quot;b&quot;],
        &quot;strings&quot;:[&quot;&quot;,&quot;app.c&quot;,&quot;app, build 00112233&quot;],
        &quot;functions&quot;:[[&quot;&quot;,0,0,0],[&quot;main&quot;,0,1,2],[&quot;put&lt;int&gt;&quot;,&quot;put&quot;,1,2],
        [&quot;malloc&quot;,0,0,0]],
        &quot;tree&quot;:&quot;,,,,30,80,5,4,9;1,1,3,,30,80,5,4,9;2,2,7,,20,80,,2,8;3,3,,,10,80,,1,7;2,3,,,10,,5,2,1&quot;,
        &quot;sites&quot;:&quot;&quot;}</metadata></svg>
        """

    static let report = """
        {"kind":"diff","schema":1,"current":{"capturedAtNs":5,"durationNs":4,"notes":[]},"rows":[
        {"label":"app.c:7","place":{"file":"app.c","function":"","line":7,"module":""},
        "current":{"allocObjects":9,"allocSpace":99,"inuseObjects":2,"inuseSpace":60}},
        {"label":"put < main","place":{"file":"","function":"put","line":0,"module":""},
        "stack":[{"file":"app.c","function":"put","line":7,"module":"app"},
        {"file":"app.c","function":"main","line":3,"module":"app"}],
        "current":{"allocObjects":1,"allocSpace":30,"inuseObjects":1,"inuseSpace":30}}]}
        """

    static let all = [gperftools, jemalloc, massif, folded, v8, speedscope, graph, report]
}

private func decode(_ text: String) throws -> Snapshot {
    let snapshot = try HeapProfile.decode(Array(text.utf8))
    #expect(snapshot.isConsistent)
    return snapshot
}

private func failure(_ text: String) -> String {
    do {
        _ = try HeapProfile.decode(Array(text.utf8))
        return ""
    } catch {
        return error.description
    }
}

@Suite struct FormatsTests {
    /// Stacks leaf first as `function file:line`, what is not known left out, and bytes in use.
    private func lines(_ snapshot: Snapshot) -> [String] {
        snapshot.samples.map { sample in
            let frames = sample.stack.flatMap { snapshot.locations[$0].frames }.map { frame in
                frame.file.isEmpty
                    ? frame.function : "\(frame.function) \(frame.file):\(frame.line)"
            }
            return frames.joined(separator: " < ") + " = \(sample.counts.inuseSpace)"
        }
    }

    @Test func `gperftools: sums, return addresses, and mappings from the file's start`() throws {
        let snapshot = try decode(Input.gperftools)
        #expect(
            snapshot.samples.map(\.counts) == [
                AllocationCounts(
                    allocObjects: 3, allocSpace: 3000, inuseObjects: 2, inuseSpace: 2000),
                AllocationCounts(
                    allocObjects: 2, allocSpace: 2000, inuseObjects: 1, inuseSpace: 1000),
            ])
        #expect(snapshot.facts.period == 1)
        #expect(!snapshot.isSampled)
        #expect(
            snapshot.mappings == [
                Mapping(start: 0x40_0000, limit: 0x40_4000, path: "/srv/a program"),
                Mapping(
                    start: 0x7f00_0000_0000, limit: 0x7f00_0000_2000, path: "/usr/lib/libother.so"),
            ])
        #expect(
            snapshot.samples[0].stack.map { snapshot.locations[$0].address } == [
                0x40_10ff, 0x40_11ff, 0x7f00_0000_100f,
            ])
        #expect(snapshot.samples[0].stack.map { snapshot.locations[$0].mapping } == [0, 0, 1])
        #expect(snapshot.locations.allSatisfy { $0.frames.isEmpty })
    }

    /// The numbers are those that jeprof prints of the same file, but rounded, where it cuts decimals off.
    @Test func `jemalloc: estimates of all threads together`() throws {
        let snapshot = try decode(Input.jemalloc)
        #expect(
            snapshot.samples.map(\.counts) == [
                AllocationCounts(
                    allocObjects: 66, allocSpace: 2_163_371, inuseObjects: 33,
                    inuseSpace: 1_081_685),
                AllocationCounts(inuseObjects: 65, inuseSpace: 528_395),
            ])
        #expect(snapshot.facts.period == 524_288)
        #expect(snapshot.isSampled)
    }

    @Test func `tcmalloc's samples are scaled by the same formula`() throws {
        let text = Input.gperftools.replacing("@ heapprofile", with: "@ heap_v2/524288")
        let snapshot = try decode(text)
        // Two of 1,000 bytes: 1 / (1 - exp(-1000 / 524288)) = 524.8 each.
        #expect(snapshot.samples[0].counts.inuseObjects == 1050)
        #expect(snapshot.samples[0].variance != .zero)
    }

    @Test func `massif: the last tree, without what children have`() throws {
        let snapshot = try decode(Input.massif)
        #expect(
            lines(snapshot) == [
                "put cache.c:3 < main main.c:6 = 600", "put cache.c:3 < other(int, char) = 90",
                "put cache.c:3 = 10", "0x4E8 = 250", "[below massif's threshold] = 50",
            ])
        #expect(snapshot.mappings.map(\.path) == ["/usr/lib/libother.so"])
        #expect(
            snapshot.facts.notes == [
                "of snapshot 2 of 3, the last with a tree; the last has 1200 bytes"
            ])
    }

    @Test func `folded stacks: places in parentheses, parameters in names`() throws {
        #expect(
            lines(try decode(Input.folded)) == [
                "Cache::put(int, char) < handle srv/app.py:7 < main app.py:3 = 100",
                "read file.c:0 < main app.py:3 = 20", "operator() (const) < main app.py:3 = 3",
                "operator() (const) < main app.py:3 = 4",
            ])
    }

    @Test func `V8: the tree's own sizes, lines from 1`() throws {
        #expect(
            lines(try decode(Input.v8)) == [
                "(anonymous) /srv/app.js:7 = 50",
                "put node:internal:1 < (anonymous) /srv/app.js:7 = 8",
            ])
    }

    @Test func `speedscope: bytes, and as many objects as another profile says`() throws {
        let snapshot = try decode(Input.speedscope)
        #expect(lines(snapshot) == ["put < main app.py:3 = 100", "main app.py:3 = 7"])
        #expect(snapshot.totals.inuseObjects == 3)
    }

    /// What a frame has that none of those it called has is its own.
    @Test func `a graph: the later snapshot, all of it`() throws {
        let snapshot = try decode(Input.graph)
        #expect(
            lines(snapshot) == [
                "malloc < put<int> app.c:7 < main app.c:3 = 90",
                "put<int> app.c:7 < main app.c:3 = 10", "malloc < main app.c:3 = 10",
            ])
        #expect(
            snapshot.totals == AllocationCounts(inuseObjects: 9, inuseSpace: 110))
        #expect(snapshot.mappings.map(\.path) == ["app"])
        #expect(snapshot.facts.notes.first?.contains("this is the later one") == true)
        // As the value of an attribute in a page.
        let page = "<!DOCTYPE html><iframe srcdoc=\"" + Input.graph.replacing("&", with: "&amp;")
        #expect(try decode(page) == snapshot)
        let blocks = try decode(
            Input.graph.replacing(":&quot;bytes", with: ":&quot;count")
                .replacing(":true", with: ":false"))
        #expect(blocks.totals == AllocationCounts(allocObjects: 110))
    }

    @Test func `our own JSON: a frame per row, or a stack`() throws {
        let snapshot = try decode(Input.report)
        #expect(
            lines(snapshot) == ["app.c:7 app.c:7 = 60", "put app.c:7 < main app.c:3 = 30"])
        #expect(snapshot.totals.allocSpace == 129)
        #expect(snapshot.facts.capturedAt == 5 && snapshot.facts.duration == 4)
    }

    @Test(arguments: Input.all) func `what is compressed is read too`(text: String) throws {
        let bytes = try Gzip.compress(Array(text.utf8))
        #expect(try HeapProfile.decode(bytes) == decode(text))
    }

    @Test(arguments: Input.all) func `line breaks of other systems make no difference`(
        text: String
    ) throws {
        #expect(try decode(text.replacing("\n", with: "\r\n")) == decode(text))
    }

    @Test func `pprof profiles are still read`() throws {
        var fixture = SnapshotFixture()
        fixture.add(["main a.c:1", "put a.c:2"], blocks: 2, size: 3)
        let bytes = try ProfileEncoder.encode(fixture.snapshot, tool: "test")
        #expect(try HeapProfile.decode(bytes) == fixture.snapshot)
    }

    @Test(arguments: [
        ("", "neither a pprof profile"), ("just some text\nof 2 lines", "neither a pprof profile"),
        ("a;b 1 2\nc 3 4", "it is a comparison"), ("a 1\nb 2\nc 3\nd", "line 4 does not end"),
        ("{}", "neither a pprof profile"), ("{\"head\":", "neither a pprof profile"),
        ("heap profile: 1: 2 [3: 4] @ growthz/1", "not of a heap: it holds  growthz/1"),
        ("heap profile: 1: 2 [3: 4] @ heapprofile\n1: x [3: 4] @ 0x1", "damaged"),
        ("heap profile: 1: 2 [3: 4] @ heapprofile\n1: 2 [3: 4] @ 0x1 zz", "damaged"),
        ("heap profile: 1: 2 [3: 4] @ heapprofile\n99999999999999999999: 2 [3: 4] @", "damaged"),
        ("heap_v2/many", "no sampling interval"), ("heap_v2/4096\nwhat", "there is a line “what”"),
        ("desc: x\nsnapshot=0\nheap_tree=empty", "none of its 1 snapshots has a tree"),
        ("desc: x\nsnapshot=0\nheap_tree=peak\nn1: 9 all\n   n0: 9 0x1: f", "where none can be"),
        ("desc: x\nsnapshot=0\nheap_tree=peak\nn1: 9 all\nn0: 9 0x1: f", "where none can be"),
        ("desc: x\nsnapshot=0\nheap_tree=peak\nn1: nine", "there is a line"),
        ("<!DOCTYPE html><metadata>{}</metadata>", "neither a pprof profile"),
        ("<svg>", "neither a pprof profile"),
        (Input.graph.replacing("1,1,3", with: "2,1,3"), "has no caller"),
        (Input.graph.replacing("1,1,3", with: "0,1,3"), "has no caller"),
        (Input.graph.replacing("1,1,3", with: "1,9,3"), "has no name"),
        (Input.graph.replacing("1,1,3", with: "1,-1,3"), "a number that is none"),
        (Input.graph.replacing("0,1,2]", with: "0,1,5]"), "has no place"),
        (Input.report.replacing("\"schema\":1", with: "\"schema\":2"), "neither a pprof profile"),
        (
            "{\"shared\":{\"frames\":[]},\"profiles\":[{\"type\":\"evented\",\"unit\":\"bytes\"}]}",
            "it holds evented/bytes"
        ),
        (
            """
            {"shared":{"frames":[]},"profiles":[{"type":"sampled","unit":"bytes",\
            "samples":[[0]],"weights":[1]}]}
            """, "names no frame"
        ),
        (
            """
            {"shared":{"frames":[]},"profiles":[{"type":"sampled","unit":"bytes",\
            "samples":[[]],"weights":[]}]}
            """, "1 stacks and 0 weights"
        ),
    ])
    func `what can't be read says why`(text: String, message: String) {
        #expect(failure(text).contains(message), "\(failure(text))")
    }
}

/// Profiles that are cut, damaged, or made to do harm.
@Suite(.serialized, .timeLimit(.minutes(10))) struct HostileFormatsTests {
    /// Text may end after any line and still make sense; it must never be a trap, or an index that leads nowhere.
    @Test func `no damage and no cut makes a reader crash`() async {
        await #expect(processExitsWith: .success) {
            var random = SeededGenerator(seed: 5)
            for text in Input.all {
                let original = Array(text.utf8)
                for length in 0..<original.count {
                    let cut = try? HeapProfile.decode(Array(original[..<length]))
                    if cut?.isConsistent == false { exit(8) }
                }
                for round in 0..<2000 {
                    var bytes = original
                    for _ in 0...(round % 5) {
                        bytes[random.next(below: bytes.count)] = UInt8(
                            truncatingIfNeeded: random.next())
                    }
                    let damaged = try? HeapProfile.decode(bytes)
                    if damaged?.isConsistent == false { exit(9) }
                }
            }
        }
    }

    /// In a process of its own, whose memory is limited: what would take more ends it.
    @Test func `small files can't fill the memory or run for ever`() async {
        await #expect(processExitsWith: .success) {
            var limit = rlimit(rlim_cur: 3 << 30, rlim_max: 3 << 30)
            setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit)
            func refused(_ text: String, _ message: String, _ status: Int32) {
                if !failure(text).contains(message) { exit(status) }
            }
            // Each node of such a tree has all of those before it on its stack.
            var tree = "desc: x\nsnapshot=0\nheap_tree=peak\n"
            for depth in 0..<6000 {
                tree += String(repeating: " ", count: depth) + "n1: \(9000 - depth) 0x1: "
                tree += String(repeating: "f", count: 1000) + "\n"
            }
            refused(tree, "more stacks than", 3)
            refused("{" + String(repeating: " ", count: 64 << 20), "JSON of more than", 6)
            // Deeper JSON than any, and lists of lists.
            refused("{\"head\":" + String(repeating: "[", count: 1 << 20), "neither", 4)
            refused(String(repeating: "{\"head\":", count: 1 << 20), "neither", 5)
        }
    }

    @Test func `names are cut to what can be shown`() throws {
        let long = String(repeating: "ä", count: 1 << 16)
        for text in [
            "\(long);f (\(long):3) 7",
            "desc:\nheap_tree=peak\nn1: 9 x\n n0: 9 0x1: \(long) (in \(long))",
            "{\"head\":{\"callFrame\":{\"functionName\":\"\",\"url\":\"\",\"lineNumber\":0},"
                + "\"selfSize\":0,\"children\":[{\"callFrame\":{\"functionName\":\"\(long)\","
                + "\"url\":\"\(long)\",\"lineNumber\":0},\"selfSize\":1,\"children\":[]}]}}",
        ] {
            let snapshot = try decode(text)
            #expect(!snapshot.samples.isEmpty)
            for frame in snapshot.locations.flatMap(\.frames) {
                #expect(frame.function.utf8.count <= Frame.nameLimit)
                #expect(frame.file.utf8.count <= Frame.nameLimit)
            }
            #expect(snapshot.mappings.allSatisfy { $0.path.utf8.count <= Frame.nameLimit })
        }
    }

    @Test func `the largest numbers there are saturate`() throws {
        let most = Int64.max
        let totals = try decode("a \(most)\nb \(most)").totals
        #expect(totals.inuseSpace == most)
        let sampled = try decode("heap_v2/\(most)\n@ 0x1\n t*: \(most): \(most) [0: 0]\n")
        #expect(sampled.totals.inuseObjects == most)
    }
}
