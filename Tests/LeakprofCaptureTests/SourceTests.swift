import LeakprofCapture
import LeakprofModel
import LeakprofTestSupport
import Testing

@Suite struct SourceTests {
    private func failure(_ text: String) -> String {
        do {
            let source = try Source.resolve(text)
            _ = try source.capture(startsEpoch: false)
            return ""
        } catch {
            return error.description
        }
    }

    @Test func `each thing that is no source has its message`() throws {
        let directory = try TemporaryDirectory()
        try Files.write(Array("hello, this is text".utf8), to: directory.path + "/text")
        try Files.write([], to: directory.path + "/empty")

        #expect(failure("no-such-program-here").contains("no file and no process"))
        #expect(failure("999999999").contains("no process 999999999"))
        #expect(failure("1").contains("not being recorded"))
        #expect(failure(directory.path + "/text").contains("neither a pprof profile"))
        #expect(failure(directory.path + "/empty").contains("neither a pprof profile"))
        #expect(failure("http://localhost:1/debug/pprof/heap").contains("Failed to connect"))
        #expect(failure("https://localhost").contains("has no path"))
    }

    @Test func `a directory is not a source`() throws {
        let directory = try TemporaryDirectory()
        #expect(failure(directory.path).contains("can't read"))
    }
}
