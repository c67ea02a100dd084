internal import CElfutils
internal import Glibc
package import LeakprofModel

/// Looks up the frames of a snapshot's locations.
///
/// Never fails: what can't be found becomes one frame with the file's name and the offset in it, and a note
/// says why. Not thread-safe.
package final class Symbolizer {
    /// How to look.
    package struct Options: Sendable {
        /// More directories with separate debug files, searched like /usr/lib/debug.
        package var debugDirectories: [String]
        /// Whether a file is taken at its path's word where the mapping has no build ID to tell it by.
        package var trustsPaths: Bool

        package init(debugDirectories: [String] = [], trustsPaths: Bool = false) {
            self.debugDirectories = debugDirectories
            self.trustsPaths = trustsPaths
        }
    }

    private let finder: ModuleFinder
    private let perfMap: PerfMap.Finding

    /// Looks in the files of the running target `pid`, if it is still there: in its own view of the
    /// file system, and in files it has mapped that were deleted.
    package init(pid: Int32?, options: Options = Options()) {
        var directories = options.debugDirectories + ["/usr/lib/debug"]
        if let pid { directories.insert("/proc/\(pid)/root/usr/lib/debug", at: 0) }
        // libdwfl looks next to the file and in .debug besides, and reads the path whenever it looks:
        // it has to live as long as the process.
        let path = strdup(([":.debug"] + directories).joined(separator: ":"))
        let pathPlace = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: 1)
        pathPlace.initialize(to: path)
        finder = ModuleFinder(
            pid: pid, debugDirectories: directories, trustsPaths: options.trustsPaths,
            callbacks: leakprof_dwfl_callbacks(pathPlace))
        perfMap = pid.map(PerfMap.find(pid:)) ?? .none
    }

    /// Fills in the frames of every location that has none, the mappings' coverage, and the notes.
    ///
    /// `willRead` is called with the index of each mapping before its file is looked for, `progress` now and
    /// then with the part done so far, from 0 to 1.
    package func symbolize(
        _ snapshot: inout Snapshot, willRead: (Int) -> Void = { _ in },
        progress: (Double) -> Void = { _ in }
    ) {
        if case .tooLarge(let path) = perfMap {
            snapshot.facts.notes.append(
                "\(path): not read: it has more than \(PerfMap.sizeLimit >> 20) MiB")
        }
        var pending: [Int: [Int]] = [:]
        var done = 0
        let total = max(1, snapshot.locations.count)
        for (index, location) in snapshot.locations.enumerated() where location.frames.isEmpty {
            if let mapping = location.mapping {
                pending[mapping, default: []].append(index)
            } else {
                snapshot.locations[index].frames = [frameOutsideOfFiles(at: location.address)]
            }
        }
        // One file after the other, so that only one file's debug information is in memory.
        for mapping in pending.keys.sorted() {
            let locations = pending[mapping] ?? []
            willRead(mapping)
            symbolize(locations, in: mapping, of: &snapshot)
            done += locations.count
            progress(Double(done) / Double(total))
        }
    }

    private func frameOutsideOfFiles(at address: UInt64) -> Frame {
        if case .found(let map) = perfMap, let name = map.name(at: address) {
            return Frame(perfMapName: name)
        }
        return .unsymbolized(address: address, in: nil)
    }

    private func symbolize(_ locations: [Int], in index: Int, of snapshot: inout Snapshot) {
        let mapping = snapshot.mappings[index]
        switch finder.find(mapping) {
        case .found(let module):
            var coverage = SymbolCoverage()
            for location in locations {
                let address = snapshot.locations[location].address
                var frames = module.frames(at: address)
                if frames.isEmpty {
                    frames = [.unsymbolized(address: address, in: mapping)]
                } else {
                    coverage.include(frames)
                }
                snapshot.locations[location].frames = frames
            }
            snapshot.mappings[index].symbols = coverage
            if !module.hasDebugInformation {
                snapshot.facts.notes.append("\(mapping.path): no debug information, so no lines")
            } else if module.hasUnreadDebugInformation {
                snapshot.facts.notes.append(
                    "\(mapping.path): debug information in .dwo files is not read, so inlined calls are missing"
                )
            }
        case .missing(let reason):
            for location in locations {
                let address = snapshot.locations[location].address
                snapshot.locations[location].frames = [.unsymbolized(address: address, in: mapping)]
            }
            snapshot.facts.notes.append("\(mapping.path): no symbols: \(reason)")
        }
    }
}

extension SymbolCoverage {
    fileprivate mutating func include(_ frames: [Frame]) {
        hasFunctions = true
        hasFilenames = hasFilenames || frames.contains { !$0.file.isEmpty }
        hasLineNumbers = hasLineNumbers || frames.contains { $0.line != 0 }
        hasInlineFrames = hasInlineFrames || frames.count > 1
    }
}
