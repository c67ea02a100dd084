/// Why a source could not be read.
///
/// Each description says what failed, on what, and why; ``advice`` says what to do next.
package enum CaptureError: Error, Equatable {
    /// Nothing of that name; what was looked for and where.
    case noSuchSource(String)
    /// A name that several processes have, or a process ID of which several users have a region.
    case ambiguousName(String, candidates: [String])
    /// The process runs without a recording, and why if that is known.
    case notRecorded(pid: Int32, reason: String?)
    /// The file could not be opened or read.
    case unreadable(path: String, reason: String)
    /// The file belongs to another user, whose regions only that user and root may read.
    case foreignOwner(path: String, owner: UInt32)
    /// A region that its process had not finished when it was looked at, or killed.
    case starting(path: String)
    /// A region of a shim that does not fit this analyzer.
    case layoutMismatch(path: String, expected: String, found: String)
    /// A region whose header contradicts itself.
    case damaged(path: String, what: String)
    /// A profile that could not be read.
    case badProfile(path: String, reason: String)
    /// A source this version can't read.
    case unsupported(String)
    /// A URL, without credentials, from which no profile came.
    case unreachable(url: String, reason: String)
    /// A Go process whose runtime could not be read.
    case unreadableGo(pid: Int32, reason: String, advice: String)
    /// A process in which something was to be changed, and nothing was.
    case unchanged(String, advice: String)
}

extension CaptureError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .noSuchSource(let what): what
        case .ambiguousName(let name, let candidates):
            "\(name) may be any of: \(candidates.joined(separator: ", "))"
        case .notRecorded(let pid, let reason):
            "process \(pid) is not being recorded" + (reason.map { ": \($0)" } ?? "")
        case .unreadable(let path, let reason): "can't read \(path): \(reason)"
        case .foreignOwner(let path, let owner):
            "\(path) belongs to user \(owner); only that user and root may read it"
        case .starting(let path): "\(path) was not yet set up by its process"
        case .layoutMismatch(let path, let expected, let found):
            "\(path) was written by another version of the shim: expected \(expected), found \(found)"
        case .damaged(let path, let what): "\(path) is damaged: \(what)"
        case .badProfile(let path, let reason): "can't read \(path): \(reason)"
        case .unsupported(let what): what
        case .unreadableGo(let pid, let reason, _):
            "can't read the Go heap of process \(pid): \(reason)"
        case .unreachable(let url, let reason): "can't get \(url): \(reason)"
        case .unchanged(let what, _): what
        }
    }

    /// The next thing to try.
    package var advice: String {
        switch self {
        case .noSuchSource:
            "give a process ID, a process name, a region, a snapshot file, or an http URL"
        case .ambiguousName: "give one of these"
        case .notRecorded(let pid, _):
            "start the program with `leakprof run -- …`; `leakprof doctor \(pid)` says more"
        case .unreadable, .badProfile: "check the path"
        case .foreignOwner: "run leakprof as that user"
        case .starting: "try again, if the process is still there"
        case .layoutMismatch: "use the leakprof that came with the shim, or restart the program"
        case .damaged: "`leakprof inspect` shows the header"
        case .unsupported: "`leakprof --help` lists what can be read"
        case .unreadableGo(_, _, let advice), .unchanged(_, let advice): advice
        case .unreachable(let url, _):
            "a look at what it answers: curl -v -o heap.pb.gz '\(url)'; a saved file is a source too"
        }
    }
}
