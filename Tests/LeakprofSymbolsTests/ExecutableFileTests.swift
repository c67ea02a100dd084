import Glibc
import LeakprofSymbols
import LeakprofTestSupport
import Testing

@Suite struct ExecutableFileTests {
    @Test func `a dynamic program with debug information`() async throws {
        let sample = try await SampleProgram.build("steady-growth.c")
        let file = try #require(ExecutableFile(path: sample.path))
        #expect(file.kind == .dynamic)
        #expect(file.hasDebugInformation)
        #expect(!file.gainsPrivileges && !file.isSanitized)
    }

    @Test func `a static program`() async throws {
        let sample = try await SampleProgram.build("steady-growth.c", flags: ["-static"])
        let file = try #require(ExecutableFile(path: sample.path))
        #expect(file.kind == .staticallyLinked(isGo: false))
        #expect(!file.hasDebugInformation)
    }

    @Test func `a program with another loader`() async throws {
        let sample = try await SampleProgram.build(
            "steady-growth.c", flags: ["-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1"])
        let file = try #require(ExecutableFile(path: sample.path))
        #expect(file.kind == .otherLoader("/lib/ld-musl-x86_64.so.1"))
    }

    @Test func `a sanitized program`() async throws {
        let sample = try await SampleProgram.build("steady-growth.c", flags: ["-fsanitize=address"])
        #expect(try #require(ExecutableFile(path: sample.path)).isSanitized)
    }

    @Test func `a script, and what is neither`() throws {
        let directory = try TemporaryDirectory()
        let script = directory.path + "/script"
        try Files.write(Array("#! /usr/bin/env -S python3\nprint(1)\n".utf8), to: script)
        #expect(ExecutableFile(path: script)?.kind == .script(interpreter: "/usr/bin/env"))
        try Files.write(Array("nothing".utf8), to: script)
        #expect(ExecutableFile(path: script)?.kind == .unknown)
        #expect(ExecutableFile(path: directory.path) == nil)
        #expect(ExecutableFile(path: directory.path + "/none") == nil)
    }
}
