import Glibc
import LeakprofModel
import LeakprofTestSupport
import Testing

@testable import LeakprofCapture

/// What is read of the files of Go programs.
@Suite(.serialized, .timeLimit(.minutes(10))) struct GoProgramTests {
    @Test func `versions are told`() {
        #expect(GoVersion("go1.19.8")?.minor == 19)
        #expect(GoVersion("go1.26.0 X:nodwarf5")?.minor == 26)
        #expect(GoVersion("go1.27rc1")?.minor == 27)
        #expect(GoVersion("go1.28.1")?.isKnown == false)
        #expect(GoVersion("go1.18.10")?.isKnown == false)
        for text in ["", "go1.", "go2.1", "devel +abc", "go1.99999999999999999999", "go1.x"] {
            #expect(GoVersion(text) == nil, "\(text)")
        }
    }

    @Test func `build information that is cut or damaged is none`() {
        let header = [0xff] + Array(" Go buildinf:".utf8) + [8, 2]
        let start = header + [UInt8](repeating: 0, count: 32 - header.count)
        let whole = start + [8] + Array("go1.26.6".utf8)
        #expect(GoBuildInfo(whole)?.version == "go1.26.6")
        #expect(GoBuildInfo(whole + [7, 7])?.version == "go1.26.6")
        for length in 0..<whole.count { #expect(GoBuildInfo(Array(whole.prefix(length))) == nil) }
        #expect(GoBuildInfo(start + [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0]) == nil)
        #expect(GoBuildInfo(start + [0x80, 0x80, 4] + [UInt8](repeating: 65, count: 70000)) == nil)
        // Of versions before 1.18, with pointers.
        var old = whole
        old[15] = 0
        #expect(GoBuildInfo(old) == nil)
    }

    /// The file of a program as it would be in memory: with the addresses it states.
    private static func table(
        of path: String, _ text: String
    ) throws -> (table: GoPclntab, file: ElfFile, code: UInt64)? {
        guard let file = ElfFile(try PagedBytes(path: path)), let version = GoVersion(text),
            let section = file.section(".gopclntab"), let code = file.section(".text"),
            let table = GoPclntab(
                file.bytes, at: section.offset, size: section.size, version)
        else { return nil }
        return (table, file, code.size)
    }

    @Test(arguments: GoToolchain.ends)
    func `functions are found by name and by address`(go: GoToolchain) async throws {
        let program = try await go.build("go-heap")
        let (table, file, _) = try #require(try Self.table(of: program, "go\(go.version)"))
        #expect(GoBuildInfo.version(of: file) == "go\(go.version)")
        let found = table.functions(named: ["main.main", "main.deep", "main.nothing"])
        #expect(found.keys.sorted() == ["main.deep", "main.main"])
        let symbols = file.symbols(["main.main", "main.deep", "main.nothing"])
        let main = try #require(found["main.main"])
        let deep = try #require(found["main.deep"])
        #expect(
            symbols["main.main"].map { $0 &- main.entry }
                == symbols["main.deep"].map { $0 &- deep.entry })
        for function in [main, deep] {
            #expect(table.function(at: function.entry)?.entry == function.entry)
            #expect(table.function(at: function.end - 1)?.entry == function.entry)
            #expect(table.function(at: function.end)?.entry != function.entry)
        }
        let line = Self.frame(at: deep.entry, table, file)
        #expect(line?.frame.function == "main.deep")
        #expect(line?.frame.file == "go-heap/main.go")
        #expect(Self.frame(at: 1 << 40, table, file) == nil)
    }

    private static func frame(
        at offset: UInt64, _ table: GoPclntab, _ file: ElfFile
    ) -> GoPclntab.Inlined? {
        table.frame(at: offset, memory: file.bytes, functionData: 0)
    }

    /// Runs in a process of its own, so that a trap fails this test and not the run.
    @Test(arguments: GoToolchain.ends)
    func `damaged and truncated programs are read or refused`(go: GoToolchain) async throws {
        let program = try await go.build("go-heap", .stripped)
        let directory = try TemporaryDirectory()
        let copy = directory.path + "/copy"
        let version = "go\(go.version)"
        await #expect(processExitsWith: .success) {
            [program = program as String, copy = copy as String, version = version as String] in
            let whole = try Files.bytes(of: program)
            guard let (_, file, code) = try Self.table(of: program, version),
                let section = file.section(".gopclntab")
            else { exit(9) }
            var random = SeededGenerator(seed: 7)
            var frames = 0
            for round in 0..<60 {
                var bytes = whole
                let start = round % 3 == 0 ? 0 : Int(section.offset)
                // The headers most of all, as a single byte there changes everything.
                let count = round % 3 == 1 ? 80 : Int(section.size)
                for _ in 0..<[4, 2, 20000][round % 3] {
                    let place = start + Int.random(in: 0..<count, using: &random)
                    bytes[place] =
                        [0, 0x7f, 0x80, 0xff, bytes[place] &+ 1].randomElement(
                            using: &random) ?? 0
                }
                if round % 5 == 4 {
                    bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random))
                }
                try Files.write(bytes, to: copy)
                guard let (table, file, _) = try Self.table(of: copy, version) else { continue }
                _ = table.functions(named: ["runtime.profilealloc", "main.main"])
                _ = file.symbols(["main.main"])
                for _ in 0..<300 {
                    let offset = UInt64.random(in: 0..<code, using: &random)
                    // Any place may be taken for the trees of inlined calls.
                    let trees = UInt64.random(in: 0..<UInt64(whole.count), using: &random)
                    frames +=
                        table.frames(at: offset, memory: file.bytes, functionData: trees).count
                    _ = table.frames(at: offset, memory: file.bytes, functionData: .max - trees)
                }
            }
            // If none could be read, this tests nothing.
            exit(frames > 1000 ? 0 : 8)
        }
    }
}
