/// The version of Go a program was built with, and how that Go lays out what is read of it.
///
/// The numbers are those of the runtime's sources of each version on 64-bit machines, and are tried against
/// programs of each (GoHeapTests).
struct GoVersion: Equatable {
    /// As the program says it: `go1.26.6`.
    let text: String
    /// The 26 of 1.26.
    let minor: Int

    /// What is known; 1.20 has not been tried.
    static let known = 19...27

    /// `nil` for what is no release of Go 1.
    init?(_ text: String) {
        guard text.hasPrefix("go1.") else { return nil }
        let digits = text.utf8.dropFirst(4).prefix { (0x30...0x39).contains($0) }
        guard let minor = Int(String(decoding: digits, as: UTF8.self)) else { return nil }
        self.text = text
        self.minor = minor
    }

    /// Whether the layouts below are this version's.
    var isKnown: Bool { Self.known.contains(minor) }

    // MARK: Heap profile

    /// The size of memRecordCycle; allocs and frees are its first two words in all versions.
    var profileCycleBytes: Int { minor >= 27 ? 16 : 32 }

    // MARK: Functions

    /// What `.gopclntab` begins with.
    var tableMagic: UInt32 { minor >= 20 ? 0xffff_fff1 : 0xffff_fff0 }
    /// The size of _func before its lists.
    var functionHeaderBytes: UInt64 { minor >= 20 ? 44 : 40 }
    /// Whether functions and inlined calls say the line they start at.
    var hasStartLines: Bool { minor >= 20 }
    /// The size of an inlinedCall, and where in it its name and the call's place are.
    var inlinedCall: (bytes: UInt64, name: UInt64, parent: UInt64, startLine: UInt64?) {
        minor >= 20 ? (16, 4, 8, 12) : (20, 12, 16, nil)
    }
    /// Where moduledata has the address of what funcdata offsets count from.
    var functionDataOffset: UInt64 {
        switch minor {
        case ..<20: 304
        case ..<27: 320
        default: 344
        }
    }

    // MARK: Goroutines

    /// Where a g has its status, why it waits, and the return address of the statement that began it; `nil` where
    /// that is not known.
    var goroutine: (status: Int, waitReason: Int, creator: Int)? {
        switch minor {
        case 19: (144, 176, 296)
        case 21, 22: (144, 176, 280)
        case 23, 24: (152, 184, 288)
        case 25: (144, 176, 280)
        case 26, 27: (144, 176, 288)
        default: nil
        }
    }
}
