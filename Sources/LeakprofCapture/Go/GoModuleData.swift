internal import Glibc

/// What the runtime knows of where the program's parts are: its `firstmoduledata`.
struct GoModuleData {
    /// Where code begins, in the process.
    let text: UInt64
    let codeEnd: UInt64
    /// What the offsets of funcdata count from, in the process.
    let functionData: UInt64

    private static let textOffset: UInt64 = 176
    private static let codeEndOffset: UInt64 = 184

    /// The most bytes that are searched for it.
    private static let searchLimit: UInt64 = 64 << 20

    /// Reads the one at `address`; `nil` when it can't be one.
    private init?(at address: UInt64, _ memory: PagedBytes, _ version: GoVersion) {
        guard let text = memory.number(at: address &+ Self.textOffset, as: UInt64.self),
            let codeEnd = memory.number(at: address &+ Self.codeEndOffset, as: UInt64.self),
            let functionData = memory.number(
                at: address &+ version.functionDataOffset, as: UInt64.self),
            text < codeEnd
        else { return nil }
        self.text = text
        self.codeEnd = codeEnd
        self.functionData = functionData
    }

    /// Finds it by what it begins with, in the sections that the process may write or whose addresses the loader
    /// filled in: the address of the table of functions, and that of the names in it.
    static func find(
        in memory: PagedBytes, of file: ElfFile, bias: UInt64, table: UInt64, names: UInt64,
        _ version: GoVersion
    ) -> GoModuleData? {
        let sought = [table, names].flatMap { address in
            (0..<8).map { UInt8(truncatingIfNeeded: address >> UInt64($0 * 8)) }
        }
        var left = searchLimit
        // It has a section of its own from 1.26 on.
        let sections = file.sections.filter {
            $0.isWritable && $0.type == UInt32(SHT_PROGBITS) && $0.address != 0
        }
        for section in sections.filter({ $0.name == ".go.module" }) + sections {
            let size = min(section.size, left)
            left -= size
            let start = section.address &+ bias
            guard let bytes = memory.bytes(at: start, count: Int(size)) else { continue }
            let offset = bytes.offset(of: sought)
            if let offset,
                let found = GoModuleData(at: start &+ UInt64(offset), memory, version)
            {
                return found
            }
        }
        return nil
    }
}
