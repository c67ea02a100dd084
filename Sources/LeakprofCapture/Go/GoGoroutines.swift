internal import LeakprofModel

/// Reads the goroutines of a running Go program: the runtime's list of all there ever were (runtime/proc.go).
///
/// A goroutine's record is used again when it has ended, and never freed, so the list can be walked while the
/// program runs. Each record is as of one moment, and two are as of moments some microseconds apart.
struct GoGoroutines {
    let reader: GoReader

    /// Of a goroutine, what it is grouped by.
    private struct Key: Hashable {
        var creator: UInt64
        var state: String
    }

    /// More than fit a machine: each takes 2 KiB at least.
    private static let countLimit: UInt64 = 1 << 24
    /// More than a program has `go` statements.
    private static let groupsLimit = 1 << 18
    /// Texts of wait reasons have some 30 bytes.
    private static let textLimit: UInt64 = 64

    /// Where the main goroutine is begun, by code in assembly that calls newproc through a wrapper.
    private static let programStart: Set = ["runtime.newproc", "runtime.rt0_go"]

    /// The goroutines that the program began, its main one included, without those of the runtime itself.
    func read() throws(GoFailure) -> [GoroutineGroup] {
        guard let layout = reader.version.goroutine else {
            throw GoFailure(
                reason: "where \(reader.version.text) keeps its goroutines is not known",
                advice: "the program's own list, if it has one: "
                    + "curl http://HOST/debug/pprof/goroutine?debug=1")
        }
        let variables = try reader.require([.goroutines, .waitReasons])
        guard let list = variables[.goroutines], let texts = variables[.waitReasons] else {
            throw .damaged("its list of goroutines was not found")
        }
        let memory = reader.memory
        memory.forget()
        guard let start = memory.number(at: list, as: UInt64.self),
            let count = memory.number(at: list &+ 8, as: UInt64.self), count <= Self.countLimit
        else { throw .damaged("its list of goroutines can't be one") }
        var counts: [Key: Int64] = [:]
        for index in 0..<count {
            // The list may be replaced by a longer one meanwhile, but the old one keeps what it has.
            guard let goroutine = memory.number(at: start &+ index * 8, as: UInt64.self),
                let status = memory.number(
                    at: goroutine &+ UInt64(layout.status), as: UInt32.self),
                let reason = memory.number(
                    at: goroutine &+ UInt64(layout.waitReason), as: UInt8.self),
                let creator = memory.number(
                    at: goroutine &+ UInt64(layout.creator), as: UInt64.self)
            else { throw .damaged("a record of a goroutine can't be read") }
            guard let state = state(status, reason: reason, texts: texts) else { continue }
            counts[Key(creator: creator, state: state), default: 0] += 1
            guard counts.count <= Self.groupsLimit else {
                throw .damaged("its goroutines come from more places than can be")
            }
        }
        return counts.compactMap { key, count in
            creator(key.creator).map {
                GoroutineGroup(creator: $0, state: key.state, count: count)
            }
        }.sorted {
            ($1.count, $0.creator.address, $0.state) < ($0.count, $1.creator.address, $1.state)
        }
    }

    /// `nil` for records that are not in use.
    private func state(_ status: UInt32, reason: UInt8, texts: UInt64) -> String? {
        // The bits above tell that its stack is just being scanned.
        switch status & 0xfff {
        case 0, 5, 6: nil
        case 1: "runnable"
        case 2: "running"
        case 3: "syscall"
        case 4: text(of: reason, texts: texts)
        case 8: "copying its stack"
        case 9: "preempted"
        default: "status \(status & 0xfff)"
        }
    }

    private func text(of reason: UInt8, texts: UInt64) -> String {
        let text = texts &+ UInt64(reason) * 16
        guard let start = reader.memory.number(at: text, as: UInt64.self),
            let length = reader.memory.number(at: text &+ 8, as: UInt64.self),
            length > 0, length <= Self.textLimit,
            let bytes = reader.memory.bytes(at: start, count: Int(length))
        else { return "waiting (\(reason))" }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The statement that returns to `address`; `nil` for the runtime's own.
    private func creator(_ address: UInt64) -> Location? {
        let frames = reader.frames(returningTo: address)
        guard let innermost = frames.first else {
            return Location(
                address: address, frames: [.unsymbolized(address: address, in: nil)])
        }
        if Self.programStart.contains(innermost.function) {
            return Location(address: 0, frames: [Frame(function: "[main goroutine]")])
        }
        guard !innermost.function.hasPrefix("runtime.") else { return nil }
        return Location(address: address - 1, mapping: 0, frames: frames)
    }
}
