internal import ArgumentParser
internal import LeakprofModel
internal import LeakprofReport

/// What growth is divided by, so that a busier time is not taken for a leak.
struct WorkOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            Divide growth by work done as well: requests=500 for what was done in between, or requests=10000,20000 for a \
            counter's value at each snapshot.
            """, valueName: "what=n[,n]"))
    var per: WorkDone?

    @Flag(help: "Divide each row's growth by the time in between as well.")
    var rate = false

    var isGiven: Bool { per != nil || rate }

    func validate() throws {
        guard per == nil || !rate else { throw ValidationError("--per or --rate, not both") }
    }

    /// `nil` where neither was asked for.
    func divisor(_ before: SnapshotFacts, _ after: SnapshotFacts) throws -> Divisor? {
        if let per { return try per.divisor(before, after) }
        guard rate else { return nil }
        let elapsed = after.capturedAt.saturatingSubtract(before.capturedAt)
        guard before.capturedAt > 0, elapsed > 0 else {
            throw Failure(
                "--rate: the snapshots don't say how much time is between them",
                try: "--per minutes=N, if you know it")
        }
        return Divisor(unit: "minute", amount: .between(Double(elapsed) / 60e9))
    }
}

/// `requests=500` or `requests=10000,20000`.
struct WorkDone: ExpressibleByArgument {
    private let unit: String
    private let numbers: [Double]

    init?(argument: String) {
        let parts = argument.split(separator: "=", omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty else { return nil }
        let numbers = parts[1].split(separator: ",", omittingEmptySubsequences: false)
            .map { Double($0).flatMap { $0.isFinite && $0 >= 0 ? $0 : nil } }
        guard (1...2).contains(numbers.count), !numbers.contains(nil) else { return nil }
        self.numbers = numbers.compactMap { $0 }
        // One of them: "requests" are counted, and it is so much per request.
        let name = parts[0]
        unit = String(name.hasSuffix("s") && !name.hasSuffix("ss") ? name.dropLast() : name)
    }

    /// Of one run, or where nothing is known of runs, a counter's values are those of one counter.
    func divisor(_ base: SnapshotFacts, _ current: SnapshotFacts) throws -> Divisor {
        let (first, last) = (numbers[0], numbers[numbers.count - 1])
        if numbers.count == 2, let before = base.process, let after = current.process,
            !before.isSameRun(as: after)
        {
            guard first > 0, last > 0 else {
                throw Failure(
                    "--per: of two different runs, each has to have done something",
                    try: "--per \(unit)s=N,N with what each had done when its snapshot was taken")
            }
            return Divisor(unit: unit, amount: .each(base: first, current: last))
        }
        let done = numbers.count == 2 ? last - first : first
        guard done > 0 else {
            throw Failure(
                "--per: nothing was done in between",
                try: "--per \(unit)s=N with what was done from the first to the second snapshot")
        }
        return Divisor(unit: unit, amount: .between(done))
    }
}
