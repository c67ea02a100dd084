import Glibc
import LeakprofModel
import LeakprofTestSupport
import Testing

@testable import LeakprofPprof

/// Profiles that somebody made to do harm.
@Suite(.serialized, .timeLimit(.minutes(10))) struct HostileProfileTests {
    // MARK: What profiles are made of (protobuf.dev/programming-guides/encoding)

    private static func varint(_ value: UInt64) -> [UInt8] {
        var rest = value
        var bytes: [UInt8] = []
        while rest > 0x7f {
            bytes.append(UInt8(rest & 0x7f) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    private static func number(_ field: UInt64, _ value: UInt64) -> [UInt8] {
        varint(field << 3) + varint(value)
    }

    private static func bytes(_ field: UInt64, _ content: [UInt8]) -> [UInt8] {
        varint(field << 3 | 2) + varint(UInt64(content.count)) + content
    }

    /// One sample type, inuse_space, and the given strings behind it.
    private static func profile(_ rest: [UInt8], strings: [String] = []) -> [UInt8] {
        let strings = ["", "inuse_space", "bytes"] + strings
        return bytes(1, number(1, 1) + number(2, 2))
            + strings.flatMap { bytes(6, Array($0.utf8)) } + rest
    }

    private static func failure(_ profile: [UInt8]) -> String {
        do {
            _ = try ProfileDecoder.decode(profile)
            return ""
        } catch {
            return error.description
        }
    }

    // MARK: Tests

    @Test func `what these tests are made of is a profile`() throws {
        let sample = Self.bytes(2, Self.bytes(2, Self.varint(7)))
        #expect(try ProfileDecoder.decode(Self.profile(sample)).totals.inuseSpace == 7)
    }

    /// In a process of its own, whose memory is limited: what would take more ends it.
    @Test func `small files can't fill the memory`() async throws {
        await #expect(processExitsWith: .success) {
            var limit = rlimit(rlim_cur: 3 << 30, rlim_max: 3 << 30)
            setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit)

            // More nothing than such a small file may hold, in one member and in several.
            let zeros = try Gzip.compress([UInt8](repeating: 0, count: 33 << 20))
            guard HostileProfileTests.failure(zeros + zeros).contains("uncompressed") else {
                exit(3)
            }
            // Empty messages: two bytes each, and a hundred once they are read.
            for field: UInt8 in [2, 5] {
                let empty = [UInt16](
                    repeating: UInt16(field << 3 | 2).littleEndian, count: 34 << 20
                )
                .withUnsafeBytes { Array($0) }
                guard
                    HostileProfileTests.failure(HostileProfileTests.profile(empty)).contains(
                        "more samples than")
                else { exit(4) }
            }
            // One sample with very many locations.
            let locations = [UInt8](repeating: 1, count: ProfileSize.numbersLimit + 1)
            let sample = HostileProfileTests.bytes(2, HostileProfileTests.bytes(1, locations))
            guard
                HostileProfileTests.failure(HostileProfileTests.profile(sample)).contains(
                    "more samples than")
            else { exit(5) }
        }
    }

    @Test func `few locations with many frames can't keep reports busy for ever`() {
        let strings = ["a function"]
        let line = Self.bytes(4, Self.number(1, 1) + Self.number(2, 5))
        let lines = [[UInt8]](repeating: line, count: 20_000).flatMap { $0 }
        let function = Self.bytes(5, Self.number(1, 1) + Self.number(2, 3))
        let location = Self.bytes(4, Self.number(1, 1) + lines)
        let sample = Self.bytes(
            2, Self.bytes(1, [UInt8](repeating: 1, count: 15_000)) + Self.bytes(2, Self.varint(7)))
        #expect(
            Self.failure(
                Self.profile(function + location + sample, strings: strings)
            ).contains("more frames than"))
    }

    @Test func `numbers and lengths that lead nowhere are errors`() {
        let endless = [UInt8](repeating: 0xff, count: 1 << 20)
        #expect(Self.failure(Self.profile(endless)) == ProfileError.unrecognized.description)
        for length: UInt64 in [1 << 31, 1 << 32, 1 << 62, .max, 5] {
            let text = Self.varint(6 << 3 | 2) + Self.varint(length) + Array("text".utf8)
            #expect(Self.failure(Self.profile(text)) == ProfileError.unrecognized.description)
        }
        for byte in 0..<9 {
            let cut = Array(Self.varint(.max).prefix(byte))
            #expect(
                Self.failure(Self.profile(Self.varint(9 << 3) + cut))
                    == ProfileError.unrecognized.description)
        }
        for index: UInt64 in [3, 1 << 31, 1 << 63, .max] {
            #expect(Self.failure(Self.profile(Self.number(13, index))).contains("no string"))
        }
        #expect(
            Self.failure(Self.profile((0..<100).flatMap { _ in Self.bytes(1, []) })).contains(
                "sample types"))
    }

    @Test func `one comment is ours, and it is not too long`() {
        let comment = ["leakprof:{\"tool\":\"x\"}"]
        let once = Self.number(13, 3)
        #expect(Self.failure(Self.profile(once, strings: comment)) == "")
        #expect(
            Self.failure(Self.profile(once + once, strings: comment)).contains("two leakprof"))
        let deep = ["leakprof:" + String(repeating: "[", count: 1 << 20)]
        #expect(Self.failure(Self.profile(once, strings: deep)).contains("comment"))
        let long = ["leakprof:" + String(repeating: " ", count: CommentFacts.lengthLimit)]
        #expect(Self.failure(Self.profile(once, strings: long)).contains("longer than any"))
    }

    @Test func `names are cut to what can be shown`() throws {
        let long = String(repeating: "ä", count: 1 << 20)
        let function = Self.bytes(5, Self.number(1, 1) + Self.number(2, 3) + Self.number(4, 3))
        let location = Self.bytes(
            4, Self.number(1, 1) + Self.bytes(4, Self.number(1, 1)))
        let profile = Self.profile(function + location, strings: [long])
        let frame = try #require(try ProfileDecoder.decode(profile).locations.first?.frames.first)
        #expect(frame.function.utf8.count <= Frame.nameLimit)
        #expect(frame.function.hasSuffix("ä…"))
        #expect(frame.file.utf8.count <= Frame.nameLimit)
    }
}
