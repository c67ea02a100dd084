import LeakprofModel
import LeakprofSymbols
import LeakprofTestSupport
import Testing

/// A way to build the sample.
struct Build: Sendable, CustomTestStringConvertible {
    var name: String
    var flags: [String]
    /// What is done to the file afterwards.
    var finish: Finish = .none
    var isPositionIndependent = true
    var compiler = "c++"
    /// binutils 2.40 finds only some of the lines and functions of the newest forms.
    var isReadByBinutils = true

    enum Finish: Sendable {
        case none
        /// Debug information moves to a file next to it, named in .gnu_debuglink.
        case debuglink
        /// Debug information moves to a .build-id directory.
        case buildIDDirectory
        /// Debug information is stripped; the symbols stay, compressed in a section (MiniDebugInfo).
        case minimal
        /// dwz(1) merges what units have in common into partial units.
        case merged
    }

    var testDescription: String { name }

    static let all: [Build] = [
        Build(name: "-O0 -g", flags: ["-O0", "-g"]),
        Build(name: "-O2 -g", flags: ["-O2", "-g"]),
        Build(name: "-O2 -gdwarf-4", flags: ["-O2", "-gdwarf-4"]),
        Build(name: "-O2 -gdwarf-5", flags: ["-O2", "-gdwarf-5"]),
        Build(name: "-O2 -gdwarf-2", flags: ["-O2", "-gdwarf-2"]),
        Build(
            name: "-O2 -g -gdwarf64", flags: ["-O2", "-g", "-gdwarf64"], isReadByBinutils: false),
        Build(
            name: "-O2 -g with type units", flags: ["-O2", "-g", "-fdebug-types-section"],
            isReadByBinutils: false),
        Build(name: "-O2 -g -flto", flags: ["-O2", "-g", "-flto"]),
        Build(name: "-O0 -g0", flags: ["-O0", "-g0"]),
        Build(name: "-O2 -g0", flags: ["-O2", "-g0"]),
        Build(name: "-O2 -g -gz", flags: ["-O2", "-g", "-gz"]),
        Build(
            name: "-O2 -g -no-pie", flags: ["-O2", "-g", "-no-pie"], isPositionIndependent: false),
        Build(name: "stripped with debuglink", flags: ["-O2", "-g"], finish: .debuglink),
        Build(
            name: "stripped with debuglink, compressed", flags: ["-O2", "-g", "-gz"],
            finish: .debuglink),
        Build(name: "stripped with .build-id", flags: ["-O2", "-g"], finish: .buildIDDirectory),
        Build(name: "stripped to MiniDebugInfo", flags: ["-O2", "-g"], finish: .minimal),
        Build(name: "dwz", flags: ["-O2", "-g", "-gdwarf-4"], finish: .merged),
        Build(name: "clang -O2 -g", flags: ["-O2", "-g"], compiler: "clang++"),
        Build(name: "clang -O2 -gdwarf-4", flags: ["-O2", "-gdwarf-4"], compiler: "clang++"),
        Build(name: "clang -O0 -g", flags: ["-O0", "-g"], compiler: "clang++"),
    ]
}

@Suite struct SymbolizerTests {
    /// Where the file is said to have been mapped; any page will do.
    private static let base: UInt64 = 0x7f00_0000_0000

    /// Compiles the sample in a directory of its own and returns the program and the addresses its
    /// allocations are called from, as stated in the file.
    private func compile(_ build: Build, in directory: TemporaryDirectory) async throws
        -> (path: String, addresses: [UInt64])
    {
        let path = "\(directory.path)/sample"
        try await Programs.succeed(
            build.compiler,
            ["\(BuiltProducts.root)/Samples/inlined-calls.cpp", "-o", path] + build.flags)
        let output = try await Programs.succeed(path)
        let addresses = output.split(separator: "\n").compactMap { UInt64($0, radix: 16) }
        try #require(addresses.count == 5)
        if build.isPositionIndependent { return (path, addresses) }
        return (path, addresses.map { $0 + 0x40_0000 })
    }

    /// Strips the program as the build says; returns the file that still has all symbols, for the oracles.
    private func finish(_ build: Build, _ path: String, in directory: TemporaryDirectory)
        async throws
        -> String
    {
        switch build.finish {
        case .none: return path
        case .debuglink:
            let debug = "\(directory.path)/sample.debug"
            try await Programs.succeed("objcopy", ["--only-keep-debug", path, debug])
            let whole = "\(directory.path)/whole"
            try await Programs.succeed("cp", [path, whole])
            try await Programs.succeed("strip", [path])
            try await Programs.succeed("objcopy", ["--add-gnu-debuglink=\(debug)", path])
            return whole
        case .buildIDDirectory:
            let id = try await buildID(path)
            let folder = "\(directory.path)/debug/.build-id/\(id.prefix(2))"
            try await Programs.succeed("mkdir", ["-p", folder])
            let debug = "\(folder)/\(id.dropFirst(2)).debug"
            try await Programs.succeed("objcopy", ["--only-keep-debug", path, debug])
            let whole = "\(directory.path)/whole"
            try await Programs.succeed("cp", [path, whole])
            try await Programs.succeed("strip", [path])
            return whole
        case .minimal:
            // What is left without debug information, so that the oracles have no more to go by.
            let whole = "\(directory.path)/whole"
            try await Programs.succeed("objcopy", ["--strip-debug", path, whole])
            let symbols = "\(directory.path)/symbols"
            try await Programs.succeed("objcopy", ["--only-keep-debug", whole, symbols])
            try await Programs.succeed("xz", [symbols])
            try await Programs.succeed("strip", [path])
            try await Programs.succeed(
                "objcopy", ["--add-section", ".gnu_debugdata=\(symbols).xz", path])
            return whole
        case .merged:
            let whole = "\(directory.path)/whole"
            try await Programs.succeed("cp", [path, whole])
            try await Programs.succeed("dwz", [path])
            return whole
        }
    }

    private func buildID(_ path: String) async throws -> String {
        let notes = try await Programs.succeed("readelf", ["-n", path])
        // clang writes none unless it is asked to.
        let line = notes.split(separator: "\n").first { $0.contains("Build ID: ") }
        return line?.split(separator: " ").last.map(String.init) ?? ""
    }

    private func symbolized(
        _ path: String, _ addresses: [UInt64], _ build: Build, buildID: String,
        debugDirectories: [String] = []
    ) -> Snapshot {
        let bias = build.isPositionIndependent ? Self.base : 0
        let start = build.isPositionIndependent ? Self.base : 0x40_0000
        var snapshot = Snapshot(
            mappings: [
                Mapping(start: start, limit: start + 0x10_0000, path: path, buildID: buildID)
            ],
            // The byte before a return address belongs to the call.
            locations: addresses.map { Location(address: bias + $0 - 1, mapping: 0) })
        Symbolizer(pid: nil, options: Symbolizer.Options(debugDirectories: debugDirectories))
            .symbolize(&snapshot)
        return snapshot
    }

    /// A frame as the oracles write it: the mangled name, and file and line.
    private struct Line: Equatable {
        var name: String
        var place: String

        init(_ frame: Frame) {
            name = frame.systemName.isEmpty ? frame.function : frame.systemName
            place = frame.file.isEmpty ? "" : "\(frame.file):\(frame.line)"
        }

        /// A line with a name and a line with a place of an oracle's output.
        init(_ name: String, _ place: String) {
            // Symbols of clones say which clone they are; debug information does not.
            self.name = String(name.prefix { $0 != "." })
            // addr2line adds " (discriminator 2)". A file without a line is the symbol table's.
            let first = place.split(separator: " ").first.map(String.init) ?? ""
            self.place = first.hasSuffix(":0") || first.hasSuffix(":?") ? "" : first
        }

        static func all(_ output: String) -> [Line] {
            let lines = output.split(separator: "\n").map(String.init)
            return stride(from: 0, to: lines.count - 1, by: 2).map {
                Line(lines[$0], lines[$0 + 1])
            }
        }
    }

    @Test(arguments: Build.all)
    func `agrees with llvm-symbolizer and addr2line`(build: Build) async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        let (path, addresses) = try await compile(build, in: directory)
        let whole = try await finish(build, path, in: directory)

        let snapshot = symbolized(
            path, addresses, build, buildID: try await buildID(path),
            debugDirectories: ["\(directory.path)/debug"])

        for (location, address) in zip(snapshot.locations, addresses) {
            let lookup = "0x" + String(address - 1, radix: 16)
            let llvm = try await Programs.succeed(
                "llvm-symbolizer",
                ["--inlining", "--no-demangle", "--obj=\(whole)", "--output-style=GNU", lookup])
            let lines = location.frames.map(Line.init)
            #expect(lines == Line.all(llvm))
            guard build.isReadByBinutils else { continue }
            let binutils = try await Programs.succeed(
                "addr2line", ["-i", "-f", "-e", whole, lookup])
            let others = Line.all(binutils)
            #expect(lines.count == others.count)
            for (line, other) in zip(lines, others) {
                // binutils 2.40 writes this for the file of every innermost frame of an LTO build.
                if !other.place.contains("<artificial>") { #expect(line.place == other.place) }
            }
            // Where an inlined function has no linkage name, it writes the name of the outermost.
            #expect(lines.last?.name == others.last?.name)
        }
        let hasLines = !build.flags.contains("-g0") && build.finish != .minimal
        #expect(snapshot.mappings[0].symbols.hasFunctions)
        #expect(snapshot.mappings[0].symbols.hasLineNumbers == hasLines)
        #expect(snapshot.facts.notes.isEmpty == hasLines)
    }

    @Test func `inlined calls, templates and lambdas are named`() async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        let build = Build.all[1]
        let (path, addresses) = try await compile(build, in: directory)

        let snapshot = symbolized(path, addresses, build, buildID: try await buildID(path))

        #expect(
            snapshot.locations[0].frames.map(\.function) == [
                "innermost", "shop::Shelf<shop::Book>::grow(unsigned long)",
                "shop::Shelf<shop::Book>::reserve(unsigned long)",
            ])
        #expect(snapshot.locations[2].frames.map(\.function) == ["plain_c_function"])
        #expect(snapshot.mappings[0].symbols.hasInlineFrames)
    }

    /// Split DWARF leaves what it knows of functions to other files, which are not read.
    @Test(arguments: ["-gdwarf-4", "-gdwarf-5"])
    func `what is in files of its own is said to be missing`(version: String) async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        let build = Build(name: "split", flags: ["-O2", "-g", version, "-gsplit-dwarf"])
        let (path, addresses) = try await compile(build, in: directory)
        let snapshot = symbolized(path, addresses, build, buildID: try await buildID(path))
        let frames = snapshot.locations.compactMap(\.frames.first)
        #expect(frames.allSatisfy { $0.file.hasSuffix("inlined-calls.cpp") && $0.line > 0 })
        #expect(
            snapshot.facts.notes
                == [
                    "\(path): debug information in .dwo files is not read, so inlined calls are missing"
                ])
    }

    @Test func `another build of the same name is not believed`() async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        let (path, addresses) = try await compile(Build.all[1], in: directory)
        let other = String(repeating: "ab", count: 20)

        let snapshot = symbolized(path, addresses, Build.all[1], buildID: other)

        #expect(
            snapshot.locations.map { $0.frames.map(\.function) }
                == addresses.map { ["sample+0x" + String($0 - 1, radix: 16)] })
        #expect(
            snapshot.facts.notes == [
                "\(path): no symbols: the file has been replaced since by another build"
            ])
        #expect(!snapshot.mappings[0].symbols.hasFunctions)
    }

    @Test func `a file that is gone, and one that is no program, leave offsets`() async throws {
        let directory = try TemporaryDirectory(in: "/tmp")
        let path = directory.path + "/file"

        let gone = symbolized(path, [0x1235], Build.all[1], buildID: "")
        #expect(gone.locations[0].frames == [Frame(function: "file+0x1234")])
        #expect(gone.facts.notes == ["\(path): no symbols: the file is gone"])

        try Files.write(Array("not an ELF file".utf8), to: path)
        let text = symbolized(path, [0x1235], Build.all[1], buildID: "")
        #expect(text.locations[0].frames == [Frame(function: "file+0x1234")])
        #expect(text.facts.notes == ["\(path): no symbols: it is not an ELF file"])
    }

    @Test func `code outside of files keeps its address`() {
        var snapshot = Snapshot(locations: [Location(address: 0xabc)])
        Symbolizer(pid: nil).symbolize(&snapshot)
        #expect(snapshot.locations[0].frames == [Frame(function: "0xabc")])
    }
}
