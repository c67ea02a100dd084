internal import CElfutils

/// A module's function symbols by address.
///
/// libdwfl's own lookup goes through the whole table for every address, which takes minutes for a binary
/// with half a million symbols.
struct SymbolIndex {
    private struct Entry {
        var address: UInt64
        /// Bytes; 0 for a label, which reaches to the next symbol.
        var size: UInt64
        /// Of several names for one address, the lowest is taken.
        var rank: Int
        /// Lives as long as the libdwfl session.
        var name: UnsafePointer<CChar>
    }

    private let entries: [Entry]

    /// Reads the symbol table of `module`, and its minimal debug information if that holds one.
    init(of module: OpaquePointer) {
        var entries: [Entry] = []
        let count = max(0, dwfl_module_getsymtab(module))
        entries.reserveCapacity(Int(count))
        for index in 0..<count {
            var symbol = GElf_Sym()
            var address: GElf_Addr = 0
            var section: GElf_Word = 0
            guard
                let name = dwfl_module_getsym_info(
                    module, index, &symbol, &address, &section, nil, nil),
                name.pointee != 0, section != UInt32(SHN_UNDEF), section != UInt32(SHN_ABS),
                section != .max, let rank = Self.rank(symbol)
            else { continue }
            entries.append(Entry(address: address, size: symbol.st_size, rank: rank, name: name))
        }
        self.entries = entries.sorted { ($0.address, $0.rank) < ($1.address, $1.rank) }
    }

    /// `nil` for what is no code; else global names before weak and local ones, sized before labels.
    private static func rank(_ symbol: GElf_Sym) -> Int? {
        let type = Int32(symbol.st_info & 0xf)
        guard type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE else { return nil }
        let binding = Int32(symbol.st_info >> 4)
        let bindingRank = binding == STB_GLOBAL ? 0 : binding == STB_WEAK ? 1 : 2
        return bindingRank + (symbol.st_size == 0 ? 4 : 0)
    }

    /// How far back to look for a function that contains an address that a smaller symbol lies before.
    private static let nesting = 32

    /// The name of the innermost function around `address`; of a label only if no other symbol follows.
    ///
    /// It lives as long as the libdwfl session.
    func name(at address: UInt64) -> UnsafePointer<CChar>? {
        let following = entries.firstIndex(sortedBy: { address < $0.address })
        var best: Entry?
        let nearest = following > 0 ? entries[following - 1].address : 0
        for entry in entries[..<following].suffix(Self.nesting).reversed() {
            if let best, entry.address < best.address { break }
            let contains =
                entry.size == 0
                ? entry.address == nearest : address - entry.address < entry.size
            // Entries of one address come with the highest rank first here.
            if contains { best = entry }
        }
        return best?.name
    }
}
