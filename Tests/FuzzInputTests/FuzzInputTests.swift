import Glibc
import LeakprofFuzzing
import LeakprofTestSupport
import Testing

/// What the fuzzers began with and what they found, read once more.
@Suite struct FuzzInputTests {
    /// Runs in a process of its own, so that a trap fails this test and not the run.
    @Test(.timeLimit(.minutes(2)), arguments: FuzzTarget.allCases)
    func `every kept input is read without harm`(target: FuzzTarget) async throws {
        let scratch = try TemporaryDirectory()
        let name = target.rawValue
        let inputs = BuiltProducts.root + "/Fuzz/Inputs/" + name
        // Otherwise this tests nothing.
        #expect(Files.names(in: inputs).count >= 3)

        let result = await #expect(
            processExitsWith: .success, observing: [\.standardErrorContent]
        ) { [name = name as String, inputs = inputs as String, scratch = scratch.path as String] in
            let target = try #require(FuzzTarget(rawValue: name))
            for input in Files.names(in: inputs) {
                // The last name is that of the input that does harm.
                let line = "reading \(inputs)/\(input)\n"
                write(STDERR_FILENO, line, line.utf8.count)
                target.run(try Files.bytes(of: "\(inputs)/\(input)"), scratch: scratch)
            }
        }
        if let result, result.exitStatus != .exitCode(0) {
            let said = String(decoding: result.standardErrorContent, as: UTF8.self)
            Issue.record("\(said.split(separator: "\n").suffix(5).joined(separator: "\n"))")
        }
    }
}
