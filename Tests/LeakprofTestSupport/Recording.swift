package import LeakprofModel
internal import LeakprofPprof

/// Runs programs under the shim, with recordings in a directory of their own.
package struct Recording: Sendable {
    package let directory: TemporaryDirectory
    private let variables: [String: String?]

    /// `variables` are more LEAKPROF_ settings, and whatever else the program needs.
    package init(_ variables: [String: String?] = [:]) throws {
        directory = try TemporaryDirectory()
        self.variables = variables
    }

    /// The environment that loads the shim; other preloaded libraries follow it.
    package func environment(preloading others: [String] = []) -> [String: String?] {
        let own: [String: String?] = [
            "LD_PRELOAD": ([BuiltProducts.shim] + others).joined(separator: ":"),
            "LEAKPROF_DIR": directory.path,
            // Not auto: most tests count blocks, and what auto does depends on the machine's load.
            "LEAKPROF_MODE": "exact",
        ]
        return own.merging(variables) { $1 }
    }

    /// Starts a program under the shim and calls `body` while it runs.
    package func with<Result: Sendable>(
        _ program: String, _ arguments: [String] = [], preloading others: [String] = [],
        body: (RunningProgram) async throws -> Result
    ) async throws -> (result: Result, status: Int32) {
        try await Programs.with(
            program, arguments, environment: environment(preloading: others), body: body)
    }

    /// Runs a program under the shim to its end.
    package func run(
        _ program: String, _ arguments: [String] = [], preloading others: [String] = [],
        workingDirectory: String? = nil
    ) async throws -> Finished {
        try await Programs.run(
            program, arguments, environment: environment(preloading: others),
            directory: workingDirectory)
    }

    /// Takes a snapshot with `leakprof snapshot`, and reads the file it wrote.
    ///
    /// `source` is a process ID or a region; with `name`, the file stays in the directory under that name.
    package func snapshot(_ source: String, name: String = "snapshot") async throws -> Snapshot {
        let path = "\(directory.path)/\(name)"
        try await Programs.succeed(
            BuiltProducts.leakprof, ["snapshot", source, "-o", path],
            environment: ["LEAKPROF_DIR": directory.path])
        return try ProfileDecoder.decode(try Files.bytes(of: path))
    }

    package func snapshot(of program: RunningProgram, name: String = "snapshot") async throws
        -> Snapshot
    {
        try await snapshot("\(program.pid)", name: name)
    }

    /// Runs a sample that prints "ready" and waits for a line, and takes a snapshot while it waits.
    package func snapshotWhenReady(
        _ program: String, _ arguments: [String] = [], preloading others: [String] = []
    ) async throws -> (snapshot: Snapshot, status: Int32) {
        let (snapshot, status) = try await with(program, arguments, preloading: others) {
            program in
            try await program.line(startingWith: "ready")
            let snapshot = try await self.snapshot(of: program)
            try await program.send("\n")
            return snapshot
        }
        return (snapshot, status)
    }

    /// The regions in the directory.
    package var regions: [String] {
        Files.names(in: directory.path).filter { $0.hasSuffix(".region") }
            .map { "\(directory.path)/\($0)" }
    }
}

extension Snapshot {
    /// The sums of the samples whose stack has a function of this name, inlined ones included.
    package func counts(below function: String) -> AllocationCounts {
        samples.filter { self.functions(of: $0).contains(function) }
            .reduce(into: .zero) { $0 += $1.counts }
    }

    /// The names on a sample's stack, leaf first.
    package func functions(of sample: Sample) -> [String] {
        sample.stack.flatMap { locations[$0].frames.map(\.function) }
    }

    /// Blocks in use, by size, of samples all of whose blocks have one size.
    package var blocksBySize: [Int64: Int64] {
        var blocks: [Int64: Int64] = [:]
        for sample in samples where sample.counts.inuseObjects > 0 {
            let (size, rest) = sample.counts.inuseSpace.quotientAndRemainder(
                dividingBy: sample.counts.inuseObjects)
            if rest == 0 { blocks[size, default: 0] += sample.counts.inuseObjects }
        }
        return blocks
    }
}
