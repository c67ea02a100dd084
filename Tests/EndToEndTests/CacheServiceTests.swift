import LeakprofTestSupport
import Testing

/// The story of the README: a service grows, two snapshots, and the line that grew.
@Suite(.serialized, .timeLimit(.minutes(10))) struct CacheServiceTests {
    @Test func `the unbounded cache is named first, the bounded one not at all`() async throws {
        let service = try await SampleProgram.build("cache-service.cpp", flags: ["-O2", "-g"])
        let load = try await SampleProgram.build("request-load.c", flags: ["-O2"])
        let recording = try Recording()
        let early = recording.directory.path + "/early"
        let late = recording.directory.path + "/late"
        let source = try Files.text(of: "\(BuiltProducts.root)/Samples/cache-service.cpp")
            .split(separator: "\n", omittingEmptySubsequences: false)
        let leak = try #require(source.firstIndex { $0.contains("// never evicted") }) + 1

        let (result, _) = try await recording.with(service.path) { program in
            let port = try await program.line().split(separator: ":").last.map(String.init) ?? ""
            try await Programs.succeed(load.path, [port, "1", "1000"])
            _ = try await recording.snapshot(of: program, name: "early")
            try await Programs.succeed(load.path, [port, "500", "3500"])
            _ = try await recording.snapshot(of: program, name: "late")
            let text = try await Programs.run(BuiltProducts.leakprof, ["diff", early, late])
            let svg = try await Programs.run(
                BuiltProducts.leakprof,
                ["diff", early, late, "--svg", "-o", recording.directory.path + "/diff.svg"])
            program.signal(15)
            return (text, svg)
        }

        let lines = result.0.output.split(separator: "\n")
        #expect(result.0.status == 0)
        #expect(lines.count > 2)
        #expect(lines[0].contains("MiB grew in"))
        // What a page holds is made a few lines further up and moved in; both are the same cache.
        #expect(lines[1].contains("cache-service.cpp:"))
        #expect(lines[1].contains("AnswerCache::get_or_render"))
        #expect(lines.prefix(10).contains { $0.contains("cache-service.cpp:\(leak)") })
        #expect(lines.prefix(10).contains { $0.contains("2500 of 2500 allocated since `early`") })
        #expect(!lines.prefix(10).contains { $0.contains("SessionCache") || $0.contains("touch") })

        #expect(result.1.status == 0)
        let svg = try Files.text(of: recording.directory.path + "/diff.svg")
        #expect(svg.contains("AnswerCache::get_or_render"))
        try await Programs.succeed("xmllint", ["--noout", recording.directory.path + "/diff.svg"])
    }
}
