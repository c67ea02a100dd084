import Glibc
import LeakprofAnalysis
import LeakprofModel
import LeakprofTestSupport
import Testing

/// JavaScript by the names that Node.js writes down of the code it compiles.
@Suite(.serialized, .timeLimit(.minutes(5))) struct NodeTests {
    /// Runs Samples/node-leak.js.
    ///
    /// - Parameter options: Node's.
    private func diff(_ options: [String]) async throws -> SnapshotDiff {
        let recording = try Recording()
        let program = "\(BuiltProducts.root)/Samples/node-leak.js"
        let (snapshots, status) = try await recording.with("node", options + [program]) { node in
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
}
