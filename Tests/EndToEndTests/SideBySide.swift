import LeakprofModel
import LeakprofTestSupport
import Testing

/// A program that was run to its end without the shim and with it, a line on its input both times.
struct SideBySide {
    let bare: Finished
    let recorded: Finished
    /// What was recorded, by the processes in the order of their IDs.
    let snapshots: [Snapshot]

    // `others` and `front` are libraries that are preloaded both times, behind the shim and in front of it;
    // `variables` are for both as well.
    init(
        _ program: String, _ arguments: [String] = [], preloading others: [String] = [],
        inFront front: [String] = [], variables: [String: String] = [:]
    ) async throws {
        let recording = try Recording(["LEAKPROF_KEEP": "1"])
        var environment = recording.environment(preloading: others)
        let preload = (front + [BuiltProducts.shim] + others).joined(separator: ":")
        environment.updateValue(preload, forKey: "LD_PRELOAD")
        var bareEnvironment: [String: String?] = [:]
        let libraries = (front + others).joined(separator: ":")
        if !libraries.isEmpty { bareEnvironment["LD_PRELOAD"] = libraries }
        for (name, value) in variables {
            environment.updateValue(value, forKey: name)
            bareEnvironment.updateValue(value, forKey: name)
        }

        bare = try await Programs.run(
            program, arguments, environment: bareEnvironment, input: "\n")
        recorded = try await Programs.run(
            program, arguments, environment: environment, input: "\n")
        let regions = recording.regions.sorted { ($0.count, $0) < ($1.count, $1) }
        var snapshots: [Snapshot] = []
        for region in regions { snapshots.append(try await recording.snapshot(region)) }
        self.snapshots = snapshots
    }

    /// Checks that the program did not notice the shim, and returns what the one process recorded.
    func expectSame(
        status: Int32 = 0, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> Snapshot {
        #expect(recorded == bare, sourceLocation: sourceLocation)
        #expect(bare.status == status, sourceLocation: sourceLocation)
        let snapshot = try #require(snapshots.first, sourceLocation: sourceLocation)
        #expect(snapshots.count == 1, sourceLocation: sourceLocation)
        let dropped = snapshot.statistics.keys.filter {
            $0.hasPrefix("dropped") || $0.hasPrefix("damaged")
        }
        #expect(dropped.isEmpty, sourceLocation: sourceLocation)
        return snapshot
    }
}

extension Snapshot {
    var statistics: [String: Int64] { facts.recording?.statistics ?? [:] }

    /// The sums of the samples whose innermost function has one of these names.
    func counts(in functions: Set<String>) -> AllocationCounts {
        samples.filter { self.functions(of: $0).first.map(functions.contains) ?? false }
            .reduce(into: .zero) { $0 += $1.counts }
    }
}
