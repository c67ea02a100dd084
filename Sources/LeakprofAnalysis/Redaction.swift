package import LeakprofModel

/// Takes names out of snapshots, so that what is made of them can be shown to anybody.
///
/// Functions, files, modules and builds become numbers in the order they come in; the same one has the same
/// number in all snapshots of one redaction. Numbers, unlike hashes, can't be guessed back. What stays is what
/// every program has (`malloc`, `main`, `libc.so.6`), line numbers, sums, times and the process ID.
package struct Redaction: Sendable {
    private var functions: [String: Int] = [:]
    private var machinery: [String: Int] = [:]
    private var files: [String: Int] = [:]
    private var modules: [String: Int] = [:]
    private var builds: [String: Int] = [:]
    private var images: [String: Int] = [:]

    package init() {}

    /// The snapshot without names; of the notes, none is left.
    package mutating func redacted(_ snapshot: Snapshot) -> Snapshot {
        var result = snapshot
        result.mappings = snapshot.mappings.map { redacted($0) }
        for (index, location) in snapshot.locations.enumerated() {
            let mapping = location.mapping.map { snapshot.mappings[$0] }
            let module = location.mapping.map { result.mappings[$0].path }
            // Addresses tell where libraries were loaded.
            result.locations[index].address = UInt64(index) + 1
            result.locations[index].frames = location.frames.map { frame in
                redacted(frame, in: mapping, now: module)
            }
        }
        result.facts.notes = []
        result.facts.process = snapshot.facts.process.map { redacted($0) }
        result.facts.recording = snapshot.facts.recording.map { redacted($0) }
        return result
    }

    private mutating func redacted(_ mapping: Mapping) -> Mapping {
        Mapping(
            start: 0, limit: 0, path: module(mapping.path),
            buildID: mapping.buildID.isEmpty
                ? "" : Self.hexadecimal(number(mapping.buildID, in: &builds)),
            // Nothing is left to look up.
            symbols: SymbolCoverage(
                hasFunctions: true, hasFilenames: true, hasLineNumbers: true, hasInlineFrames: true)
        )
    }

    private mutating func redacted(_ frame: Frame, in mapping: Mapping?, now module: String?)
        -> Frame
    {
        Frame(
            function: function(frame, in: mapping, now: module),
            file: frame.file.isEmpty ? "" : file(frame.file), line: frame.line,
            startLine: frame.startLine)
    }

    private mutating func function(_ frame: Frame, in mapping: Mapping?, now module: String?)
        -> String
    {
        let name = frame.function
        if Placeholder(rawValue: name) != nil || FrameClassifier.isCommon(name) { return name }
        let isMachinery = FrameClassifier.isAllocationMachinery(frame, in: mapping)
        if let mapping, let module, let offset = Self.offset(name, in: mapping.name),
            // What a library that lost its name holds would no longer be machinery.
            !isMachinery || FrameClassifier.isCommonLibrary(mapping.name)
        {
            return "\(module)+0x\(offset)"
        }
        if isMachinery {
            return "\(FrameClassifier.redactedMachinery)\(number(name, in: &machinery))]"
        }
        return "function_\(number(name, in: &functions))"
    }

    /// What stands behind `module+0x`, if it is nothing but an offset.
    private static func offset(_ name: String, in module: String) -> String? {
        let prefix = "\(module)+0x"
        guard name.hasPrefix(prefix) else { return nil }
        let offset = name.dropFirst(prefix.count)
        return offset.allSatisfy { $0.isASCII && $0.isHexDigit } ? String(offset) : nil
    }

    private mutating func file(_ path: String) -> String {
        let name = "file_\(number(path, in: &files))"
        let known = Self.endings.first { path.hasSuffix($0) }
        return name + (known ?? "")
    }

    private static let endings = [
        ".c", ".cc", ".cpp", ".cxx", ".h", ".hpp", ".swift", ".rs", ".go", ".py", ".js", ".ts",
        ".java", ".S",
    ]

    private mutating func module(_ path: String) -> String {
        let name = path.lastPathComponent
        return FrameClassifier.isCommonLibrary(name) ? name : "module_\(number(path, in: &modules))"
    }

    private mutating func redacted(_ process: ProcessFacts) -> ProcessFacts {
        var result = process
        result.name = "process"
        result.executable = ""
        result.arguments = []
        result.image =
            process.image.isEmpty ? "" : Self.hexadecimal(number(process.image, in: &images))
        return result
    }

    private mutating func redacted(_ recording: RecordingFacts) -> RecordingFacts {
        var result = recording
        // What attach keeps has addresses.
        if recording.go?.attachment?.buckets != nil { result.go?.attachment = nil }
        result.go?.attachment?.image = ""
        result.otherMalloc = recording.otherMalloc.map { module($0) }
        // Where Python is installed, and a version that a region made up.
        result.python?.interpreter = nil
        if let version = recording.python?.version, Double(version) == nil {
            result.python?.version = "unknown"
        }
        // A reason may name what it is about.
        if !["recording", "paused", "ended", "killed"].contains(recording.state) {
            result.state = "off"
        }
        if !["auto", "exact", "sampled"].contains(recording.mode) { result.mode = "unknown" }
        result.statistics = recording.statistics.filter { name, _ in
            name.utf8.allSatisfy {
                $0 == UInt8(ascii: "_") || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0)
            }
        }
        for index in result.epochs.indices
        where !["start", "clock", "snapshot"].contains(result.epochs[index].reason) {
            result.epochs[index].reason = "unknown"
        }
        return result
    }

    private func number(_ name: String, in numbers: inout [String: Int]) -> Int {
        if let known = numbers[name] { return known }
        numbers[name] = numbers.count + 1
        return numbers.count
    }

    /// As long as what reports show of a build ID.
    private static func hexadecimal(_ number: Int) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: max(0, 8 - digits.count)) + digits
    }
}
