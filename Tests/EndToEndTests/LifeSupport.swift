import LeakprofModel
import LeakprofTestSupport
import Testing

extension Recording {
    /// Runs a program without and with the shim, and expects the same output, exit status and signal.
    @discardableResult
    func expectUnchanged(
        _ program: String, _ arguments: [String] = [], input: String = "",
        adding variables: [String: String?] = [:],
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> Finished {
        let bare = try await Programs.run(
            program, arguments, environment: variables, input: input)
        let recorded = try await Programs.run(
            program, arguments, environment: environment().merging(variables) { $1 }, input: input)
        #expect(recorded == bare, sourceLocation: sourceLocation)
        return bare
    }

    /// The one region that was left in the directory.
    func snapshotOfOnlyRegion(sourceLocation: SourceLocation = #_sourceLocation) async throws
        -> Snapshot
    {
        #expect(regions.count == 1, sourceLocation: sourceLocation)
        return try await snapshot(try #require(regions.first, sourceLocation: sourceLocation))
    }
}

extension Snapshot {
    /// Statistics of allocations that were not recorded.
    var dropped: [String] { statistics.keys.filter { $0.hasPrefix("dropped") }.sorted() }
}
