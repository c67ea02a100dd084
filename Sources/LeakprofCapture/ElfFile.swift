internal import Glibc

/// What an ELF file of 64 bits says of its sections and symbols.
struct ElfFile {
    struct Section {
        var name: String
        var type: UInt32
        var flags: UInt64
        /// As stated in the file, without the load bias.
        var address: UInt64
        var offset: UInt64
        var size: UInt64
        var link: UInt32

        var isWritable: Bool { flags & UInt64(SHF_WRITE) != 0 }
        var isCode: Bool { flags & UInt64(SHF_EXECINSTR) != 0 }

        func contains(_ address: UInt64) -> Bool {
            address >= self.address && address - self.address < size
        }
    }

    let bytes: PagedBytes
    let machine: UInt16
    /// The stated address at which the program begins.
    let entry: UInt64
    let sections: [Section]

    /// Names of sections are short.
    private static let nameLimit = 256
    private static let symbolTableLimit: UInt64 = 256 << 20

    /// `nil` when the bytes are no such file.
    init?(_ bytes: PagedBytes) {
        guard let header = bytes.bytes(at: 0, count: MemoryLayout<Elf64_Ehdr>.size),
            header.starts(with: [0x7f, 0x45, 0x4c, 0x46, UInt8(ELFCLASS64), UInt8(ELFDATA2LSB)]),
            let machine = header.number(at: 18, as: UInt16.self),
            let entry = header.number(at: 24, as: UInt64.self),
            let table = header.number(at: 40, as: UInt64.self),
            let count = header.number(at: 60, as: UInt16.self),
            let namesIndex = header.number(at: 62, as: UInt16.self)
        else { return nil }
        self.bytes = bytes
        self.machine = machine
        self.entry = entry
        let size = MemoryLayout<Elf64_Shdr>.size
        guard let headers = bytes.bytes(at: table, count: Int(count) * size),
            let names = headers.number(at: Int(namesIndex) * size + 24, as: UInt64.self)
        else {
            sections = []
            return
        }
        sections = (0..<Int(count)).compactMap { index in
            let start = index * size
            guard let name = headers.number(at: start, as: UInt32.self),
                let type = headers.number(at: start + 4, as: UInt32.self),
                let flags = headers.number(at: start + 8, as: UInt64.self),
                let address = headers.number(at: start + 16, as: UInt64.self),
                let offset = headers.number(at: start + 24, as: UInt64.self),
                let size = headers.number(at: start + 32, as: UInt64.self),
                let link = headers.number(at: start + 40, as: UInt32.self)
            else { return nil }
            return Section(
                name: bytes.text(at: names &+ UInt64(name), limit: Self.nameLimit) ?? "",
                type: type, flags: flags, address: address, offset: offset, size: size, link: link)
        }
    }

    func section(_ name: String) -> Section? { sections.first { $0.name == name } }

    /// The stated addresses of the symbols of these names that are in the symbol table.
    func symbols(_ names: [String]) -> [String: UInt64] {
        var found: [String: UInt64] = [:]
        guard let table = sections.first(where: { $0.type == UInt32(SHT_SYMTAB) }),
            sections.indices.contains(Int(table.link)), table.size <= Self.symbolTableLimit,
            case let strings = sections[Int(table.link)], strings.size <= Self.symbolTableLimit,
            let text = bytes.bytes(at: strings.offset, count: Int(strings.size)),
            let entries = bytes.bytes(at: table.offset, count: Int(table.size))
        else { return found }
        var wanted: [UInt32: String] = [:]
        for name in names {
            if let offset = text.offset(ofText: name) { wanted[UInt32(offset)] = name }
        }
        let size = MemoryLayout<Elf64_Sym>.size
        for start in stride(from: 0, through: entries.count - size, by: size) {
            guard let name = entries.number(at: start, as: UInt32.self), let known = wanted[name],
                let address = entries.number(at: start + 8, as: UInt64.self), address != 0
            else { continue }
            found[known] = address
        }
        return found
    }
}

extension [UInt8] {
    /// Where these bytes begin that are a whole text in a table of texts, each with a terminating 0.
    func offset(ofText text: String) -> Int? {
        offset(of: [0] + Array(text.utf8) + [0]).map { $0 + 1 }
    }

    /// Where `sought` begins for the first time.
    func offset(of sought: [UInt8]) -> Int? {
        // The C library looks for one byte, best one that is not everywhere, as 0 is.
        guard let rare = sought.max(), let place = sought.firstIndex(of: rare) else { return nil }
        return withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress, bytes.count >= sought.count else { return nil }
            var start = place
            let end = bytes.count - (sought.count - 1 - place)
            while start < end,
                let found = memchr(base + start, Int32(rare), end - start)
            {
                let offset = UnsafeRawPointer(found) - base
                if memcmp(base + (offset - place), sought, sought.count) == 0 {
                    return offset - place
                }
                start = offset + 1
            }
            return nil
        }
    }
}
