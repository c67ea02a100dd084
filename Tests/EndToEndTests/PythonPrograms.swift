import FoundationEssentials
import LeakprofCapture
import LeakprofModel
import LeakprofTestSupport
import Testing

/// A line of Python.
struct PythonPlace: Hashable, Codable, CustomStringConvertible {
    var file: String
    var line: Int64

    var description: String { "\(file):\(line)" }
}

/// What a program says it keeps at one line: it prints an array of these behind "ready".
struct ExpectedLine: Decodable {
    var file: String
    var line: Int64
    var blocks: Int64
    var bytes: Int64
    /// Any of these words.
    var domains: String

    var place: PythonPlace { PythonPlace(file: file, line: line) }
    var allDomains: Set<MemoryDomain> {
        Set(domains.split(separator: " ").compactMap { MemoryDomain(rawValue: String($0)) })
    }
}

/// Blocks and bytes.
struct Amount: Equatable, CustomStringConvertible {
    var blocks: Int64 = 0
    var bytes: Int64 = 0

    var description: String { "\(blocks) blocks of \(bytes) bytes" }
}

extension Snapshot {
    /// The Python frames of a sample, leaf first.
    func pythonFrames(of sample: Sample) -> [Frame] {
        sample.stack.filter { locations[$0].mapping.map { mappings[$0].isPython } ?? false }
            .flatMap { locations[$0].frames }
    }

    /// What is in use, by the innermost line of Python.
    func pythonLines(in domains: Set<MemoryDomain> = Set(MemoryDomain.allCases))
        -> [PythonPlace: Amount]
    {
        var lines: [PythonPlace: Amount] = [:]
        for sample in samples where sample.domain.map(domains.contains) ?? true {
            guard let leaf = pythonFrames(of: sample).first, sample.counts.inuseObjects != 0 else {
                continue
            }
            let place = PythonPlace(file: leaf.file, line: leaf.line)
            lines[place, default: Amount()].blocks += sample.counts.inuseObjects
            lines[place, default: Amount()].bytes += sample.counts.inuseSpace
        }
        return lines
    }

    func statistic(_ name: String) -> Int64 { facts.recording?.statistics[name] ?? 0 }
}

extension Recording {
    /// Runs a program that writes "ready", then a line of JSON, and waits for a line; reads its region while it waits.
    ///
    /// Other regions may be there too, such as those of its children.
    func pythonSnapshot<Said: Decodable & Sendable>(
        _ program: String, _ arguments: [String], saying _: Said.Type
    ) async throws -> (snapshot: Snapshot, said: Said, status: Int32) {
        let (found, status) = try await with(program, arguments) { program -> (Snapshot, Said) in
            try await program.line(startingWith: "ready")
            let said = try decodeJSON(Said.self, try await program.line())
            let snapshot = try self.snapshot(ofRegion: program.pid)
            try await program.send("\n")
            return (snapshot, said)
        }
        return (found.0, found.1, status)
    }

    /// Reads the region of a process, without symbols: Python frames need none.
    func snapshot(ofRegion process: Int32) throws -> Snapshot {
        let region = regions.first {
            ($0.split(separator: "/").last ?? "").hasPrefix("\(process).")
        }
        guard let region else { throw TestFailure("process \(process) has no region") }
        return try Region(path: region).capture(startsEpoch: false)
    }
}

/// A value out of a line of JSON.
func decodeJSON<Value: Decodable>(_: Value.Type, _ line: String) throws -> Value {
    try JSONDecoder().decode(Value.self, from: Data(line.utf8))
}
