import LeakprofModel
import LeakprofPprof
import LeakprofTestSupport
import Testing

/// A frame as a heap profile has it.
private struct Line: Hashable, CustomStringConvertible {
    let function: String
    let file: String
    let line: Int64

    /// What runtime/pprof hides at the leaf, from Go 1.24 on all of it.
    var isRuntime: Bool {
        function.hasPrefix("runtime.") || function.hasPrefix("internal/runtime/")
    }
    var description: String { "\(function) \(file):\(line)" }
}

extension Snapshot {
    /// The sums by stack, leaf first, without the runtime's own frames at the leaf.
    fileprivate var countsByStack: [[Line]: AllocationCounts] {
        var counts: [[Line]: AllocationCounts] = [:]
        for sample in samples {
            let stack = sample.stack.flatMap { location in
                locations[location].frames.map {
                    Line(function: $0.function, file: $0.file, line: $0.line)
                }
            }
            let shown = Array(stack.drop(while: \.isRuntime))
            counts[shown.isEmpty ? stack : shown, default: .zero] += sample.counts
        }
        // runtime/pprof writes those too of which nothing was published yet.
        return counts.filter { $0.value != .zero }
    }
}

/// Go programs by their process ID alone, beside what runtime/pprof says of the same garbage collection.
@Suite(.serialized, .timeLimit(.minutes(20))) struct GoHeapTests {
    /// Where a run of Samples/go-heap left what.
    private struct Run {
        let ours: Snapshot
        let later: Snapshot
        let theirs: Snapshot
        let text: String
    }

    private func run(
        _ program: String, rate: Int, _ arguments: String...
    ) async throws -> Run {
        let directory = try TemporaryDirectory(in: "/tmp")
        @Sendable func snapshot(_ pid: Int32, _ name: String) async throws -> Snapshot {
            try await Programs.succeed(
                BuiltProducts.leakprof, ["snapshot", "\(pid)", "-o", name],
                directory: directory.path)
            return try ProfileDecoder.decode(try Files.bytes(of: "\(directory.path)/\(name)"))
        }
        let profile = directory.path + "/theirs"
        let ((ours, later, text), status) = try await Programs.with(
            program, [profile, "\(rate)"] + arguments
        ) { process in
            try await process.line(startingWith: "ready")
            let ours = try await snapshot(process.pid, "ours")
            try await process.send("\n")
            try await process.line(startingWith: "done")
            let later = try await snapshot(process.pid, "later")
            let text = try await Programs.succeed(
                BuiltProducts.leakprof, ["top", "\(process.pid)"])
            return (ours, later, text)
        }
        #expect(status == 0)
        let theirs = try ProfileDecoder.decode(try Files.bytes(of: profile))
        return Run(ours: ours, later: later, theirs: theirs, text: text)
    }

    private func expectSame(
        _ ours: [[Line]: AllocationCounts], _ theirs: [[Line]: AllocationCounts]
    ) {
        for (stack, counts) in theirs where ours[stack] != counts {
            Issue.record("of \(stack): \(String(describing: ours[stack])), not \(counts)")
        }
        for stack in ours.keys where theirs[stack] == nil {
            Issue.record("runtime/pprof knows nothing of \(stack)")
        }
    }

    @Test func `every version of Go is here that is tried`() {
        #expect(GoToolchain.all.map(\.minor) == [19, 21, 22, 23, 24, 25, 26, 27])
    }

    @Test(arguments: GoToolchain.all, GoToolchain.Form.allCases)
    func `each stack has the sums of runtime/pprof's profile`(
        go: GoToolchain, form: GoToolchain.Form
    ) async throws {
        let program = try await go.build("go-heap", form)
        for rate in [1, 4096] {
            let run = try await run(program, rate: rate)
            expectSame(run.ours.countsByStack, run.theirs.countsByStack)
            let recording = try #require(run.ours.facts.recording)
            #expect(recording.go?.version == "go\(go.version)")
            #expect(recording.go?.hasCollected == true)
            #expect(recording.intervalBytes == (rate == 1 ? 0 : 4096))
            #expect(run.ours.facts.period == Int64(rate))
            #expect(run.ours.isSampled == (rate != 1))
            for sample in run.ours.samples {
                let functions = run.ours.functions(of: sample)
                let runtime = functions.filter { $0.hasPrefix("runtime.") }
                #expect(
                    functions.first != runtime.first || functions == runtime, "\(functions)")
            }
            // Of a sample there may be none of them.
            guard rate == 1 else { continue }
            // Inlined, generic, of a method, of a closure, in a goroutine, at the end of a stack that was cut.
            for function in [
                "main.newPair", "main.series[", "main.(*keeper).keep", "main.allocate.func1",
                "main.allocate.func2", "main.inlinedStep",
            ] {
                #expect(
                    run.ours.locations.contains { $0.frames[0].function.hasPrefix(function) },
                    "\(function)")
            }
        }
    }

    @Test(arguments: GoToolchain.all)
    func `what no garbage collection has seen is told apart`(go: GoToolchain) async throws {
        let run = try await run(try await go.build("go-heap", .stripped), rate: 1)
        #expect(run.later.totals == run.ours.totals)
        let before = try #require(run.ours.facts.recording?.go)
        let after = try #require(run.later.facts.recording?.go)
        // 2,048 blocks of 512 bytes, and the slices that hold them.
        #expect((2048..<2100).contains(after.pendingObjects - before.pendingObjects))
        #expect(after.pendingBytes - before.pendingBytes >= 1 << 20)
        #expect(
            run.text.contains(
                /note: as of the last garbage collection that go1[0-9.]+ has completed; since then [0-9.]+ MiB more were allocated than found to be garbage/
            ), "\(run.text)")
    }

    @Test(arguments: GoToolchain.all)
    func `before the first garbage collection everything counts`(go: GoToolchain) async throws {
        let run = try await run(
            try await go.build("go-heap", .stripped), rate: 1, "uncollected")
        #expect(run.ours.facts.recording?.go?.hasCollected == false)
        func allocated(_ snapshot: Snapshot) -> [[Line]: AllocationCounts] {
            snapshot.countsByStack.filter { stack, _ in
                stack.contains { $0.function == "main.allocate" }
            }
        }
        // The program went on between the two, elsewhere.
        expectSame(allocated(run.ours), allocated(run.theirs))
        let deep = allocated(run.ours).keys.filter { $0.contains { $0.function == "main.deep" } }
        #expect(!deep.isEmpty)
    }
}
