import Glibc
import LeakprofAnalysis
import LeakprofModel
import LeakprofTestSupport
import Testing

/// JavaScript and Java by the names that Node.js and the JVM write down of the code they compile.
@Suite(.serialized, .timeLimit(.minutes(5))) struct ManagedRuntimeTests {
    /// Runs Samples/node-leak.js with these options of Node's.
    private func diff(_ options: [String]) async throws -> SnapshotDiff {
        let recording = try Recording()
        let program = "\(BuiltProducts.root)/Samples/node-leak.js"
        // V8 leaves a log of its own in its working directory.
        let (snapshots, status) = try await Programs.with(
            "node", options + [program], environment: recording.environment(),
            directory: recording.directory.path
        ) { node in
            defer { unlink("/tmp/perf-\(node.pid).map") }
            try await node.line(startingWith: "ready")
            let early = try await recording.snapshot(of: node, name: "early")
            try await node.send("\n")
            try await node.line(startingWith: "grown")
            let late = try await recording.snapshot(of: node, name: "late")
            try await node.send("\n")
            return [early, late]
        }
        #expect(status == 0)
        return SnapshotDiff(base: snapshots[0], current: snapshots[1])
    }

    @Test func `the growing cache is at the function that makes its pages`() async throws {
        let diff = try await diff(["--perf-basic-prof", "--interpreted-frames-native-stack"])
        let first = try #require(diff.rows.first)
        #expect(first.site.frame.function == "renderPage")
        #expect(first.site.frame.file.hasSuffix("/Samples/node-leak.js"))
        #expect(first.site.frame.line == 13)
        #expect(first.change.inuseSpace >= 1000 * 20_000)
    }

    @Test func `without names, what is growing is Node's`() async throws {
        let diff = try await diff([])
        let first = try #require(diff.rows.first)
        #expect(first.site.module.hasPrefix("node"))
        #expect(first.site.frame.function.hasPrefix("node::"), "\(first.site.frame.function)")
    }

    /// Runs Samples/JavaDirect.java, with everything compiled and nothing inlined, so that every method has a name.
    @Test func `the growing cache of direct buffers is at the method that makes its pages`()
        async throws
    {
        let recording = try Recording()
        let classes = recording.directory.path + "/classes"
        try await Programs.succeed(
            "javac", ["-d", classes, "\(BuiltProducts.root)/Samples/JavaDirect.java"])
        let options = [
            "-Xcomp", "-XX:+PreserveFramePointer", "-XX:CompileCommand=quiet",
            "-XX:CompileCommand=dontinline,JavaDirect::*", "-cp", classes, "JavaDirect",
        ]
        let (snapshots, status) = try await recording.with("java", options) { java in
            defer { unlink("/tmp/perf-\(java.pid).map") }
            try await java.line(startingWith: "ready")
            let early = try await recording.snapshot(of: java, name: "early")
            try await java.send("\n")
            try await java.line(startingWith: "grown")
            try await Programs.succeed("jcmd", ["\(java.pid)", "Compiler.perfmap"])
            let late = try await recording.snapshot(of: java, name: "late")
            try await java.send("\n")
            return [early, late]
        }
        #expect(status == 0)
        let diff = SnapshotDiff(base: snapshots[0], current: snapshots[1])
        let first = try #require(diff.rows.first)
        #expect(first.site.frame.function == "JavaDirect.renderPage")
        #expect(first.change.inuseSpace >= 1000 * 20_000)
    }
}
