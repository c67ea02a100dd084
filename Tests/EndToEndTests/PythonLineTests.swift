import FoundationEssentials
import LeakprofModel
import LeakprofTestSupport
import Testing

/// Samples/call-sites.py: which line of Python a block was allocated at, and by which callers.
@Suite(.serialized, .timeLimit(.minutes(10))) struct PythonLineTests {
    private static let program = "\(BuiltProducts.root)/Samples/call-sites.py"

    /// A block that the program keeps, and where it is from, as the program says itself.
    private struct Site: Decodable {
        var site: Int
        var bytes: Int64
        /// Leaf first.
        var stack: [Place]
    }

    private struct Place: Decodable, Hashable, CustomStringConvertible {
        var file: String
        var function: String
        var line: Int64

        var description: String { "\(function) (\(file):\(line))" }
    }

    private static func expected(
        of python: PythonInterpreter, _ directory: TemporaryDirectory
    ) async throws -> [Site] {
        let text = try await Programs.succeed(
            python.path, ["-B", "-X", "tracemalloc=100", program, directory.path, "expect"])
        return try JSONDecoder().decode([Site].self, from: Data(text.utf8))
    }

    /// The frames, leaf first, that lie in one of these files: the others are C.
    ///
    /// By the size of the block, of which there is one.
    private static func stacks(
        of python: PythonInterpreter, _ directory: TemporaryDirectory, in files: Set<String>
    ) async throws -> [Int64: [Place]] {
        let recording = try Recording()
        let (snapshot, status) = try await recording.snapshotWhenReady(
            python.path, ["-B", program, directory.path])
        #expect(status == 0)
        var stacks: [Int64: [Place]] = [:]
        for sample in snapshot.samples where sample.counts.inuseObjects == 1 {
            stacks[sample.counts.inuseSpace] = sample.stack.flatMap {
                snapshot.locations[$0].frames
            }
            .filter { files.contains($0.file) }
            .map { Place(file: $0.file, function: $0.function, line: $0.line) }
        }
        return stacks
    }

    @Test(arguments: PythonInterpreter.all)
    func `a block is from the line that the interpreter says, and so are its callers`(
        python: PythonInterpreter
    ) async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        let sites = try await Self.expected(of: python, directory)
        let stacks = try await Self.stacks(
            of: python, directory, in: Set(sites.flatMap { $0.stack.map(\.file) }))

        #expect(sites.count > 50)
        for site in sites {
            let stack = try #require(stacks[site.bytes], "site \(site.site)")
            #expect(stack.first == site.stack.first, "site \(site.site)")
            #expect(stack == site.stack, "site \(site.site)")
        }
    }

    /// Debian's python3 is a static program without symbols; pyenv's here are programs of a few lines
    /// and a libpython that has symbols.
    @Test(
        arguments: PythonInterpreter.all.indices.dropFirst().filter {
            PythonInterpreter.all[$0].minor == PythonInterpreter.all[$0 - 1].minor
        })
    func `two interpreters of one version give the same lines`(second: Int) async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        let pythons = [PythonInterpreter.all[second - 1], PythonInterpreter.all[second]]
        // What is not in their libraries, which lie in different places.
        let files = Set(
            try await Self.expected(of: pythons[0], directory).flatMap { $0.stack.map(\.file) }
                .filter { $0 == Self.program || $0.hasPrefix(directory.path) || $0.hasPrefix("<") })
        let first = try await Self.stacks(of: pythons[0], directory, in: files)
        let other = try await Self.stacks(of: pythons[1], directory, in: files)

        let sizes = Int64(100_001)...100_100
        let named = first.filter { sizes.contains($0.key) && !$0.value.isEmpty }
        #expect(named.count > 50)
        #expect(named == other.filter { sizes.contains($0.key) && !$0.value.isEmpty })
    }
}
