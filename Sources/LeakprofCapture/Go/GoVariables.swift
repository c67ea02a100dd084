internal import Glibc

/// Finds variables of the runtime: by the symbol table, or by the code of functions that read them, since stripped
/// programs keep their functions' names.
struct GoVariables {
    let file: ElfFile
    let memory: PagedBytes
    let bias: UInt64
    let table: GoPclntab
    let module: GoModuleData

    enum Variable: CaseIterable {
        /// The newest bucket of the heap profile.
        case buckets
        case memoryProfileRate
        /// The slice of all goroutines.
        case goroutines
        /// The array of texts that say what a goroutine waits for.
        case waitReasons

        fileprivate var symbol: String {
            switch self {
            case .buckets: "runtime.mbuckets"
            case .memoryProfileRate: "runtime.MemProfileRate"
            case .goroutines: "runtime.allgs"
            case .waitReasons: "runtime.waitReasonStrings"
            }
        }

        /// A function that reads it, with the instruction by which it does, and the how manieth such it is.
        fileprivate var reader: (function: String, opcode: UInt8, occurrence: Int) {
            switch self {
            case .buckets: ("runtime.mProf_FlushLocked", Self.load, 0)
            // The first is mcache0.
            case .memoryProfileRate: ("runtime.profilealloc", Self.load, 1)
            case .goroutines: ("runtime.forEachG", Self.load, 0)
            case .waitReasons: ("runtime.waitReason.String", Self.address, 0)
            }
        }

        /// MOV and LEA with a register of 64 bits.
        private static let load: UInt8 = 0x8b
        private static let address: UInt8 = 0x8d
    }

    /// The variables' addresses in the process; those that are not found are missing.
    func addresses(of variables: [Variable]) -> [Variable: UInt64] {
        let symbols = file.symbols(variables.map(\.symbol))
        var found: [Variable: UInt64] = [:]
        for variable in variables {
            if let stated = symbols[variable.symbol], isData(stated) {
                found[variable] = stated &+ bias
            }
        }
        let missing = variables.filter { found[$0] == nil }
        if !missing.isEmpty { found.merge(addressesByCode(of: missing)) { first, _ in first } }
        return found
    }

    /// The same without the symbol table.
    func addressesByCode(of variables: [Variable]) -> [Variable: UInt64] {
        guard file.machine == UInt16(EM_X86_64) else { return [:] }
        let functions = table.functions(named: variables.map(\.reader.function))
        var found: [Variable: UInt64] = [:]
        for variable in variables {
            let (name, opcode, occurrence) = variable.reader
            guard let function = functions[name] else { continue }
            let targets = targets(of: opcode, in: function)
            if targets.indices.contains(occurrence) { found[variable] = targets[occurrence] }
        }
        return found
    }

    /// Longer than the functions that are looked at.
    private static let codeLimit: UInt64 = 1 << 14

    /// The data that instructions of this opcode in the function refer to, in order.
    ///
    /// Every byte is taken for the start of one; that it refers to data tells those that are.
    private func targets(of opcode: UInt8, in function: GoPclntab.Function) -> [UInt64] {
        guard function.end > function.entry,
            case let start = module.text &+ function.entry,
            let code = memory.bytes(
                at: start, count: Int(min(function.end - function.entry, Self.codeLimit)))
        else { return [] }
        let length = 7
        var targets: [UInt64] = []
        for place in 0..<max(0, code.count - length + 1) {
            // REX.W with any register; the operand's address counts from the next instruction.
            guard code[place] & 0xfb == 0x48, code[place + 1] == opcode,
                code[place + 2] & 0xc7 == 0x05,
                let distance = code.number(at: place + 3, as: Int32.self)
            else { continue }
            let target =
                start &+ UInt64(place + length) &+ UInt64(bitPattern: Int64(distance))
            if isData(target &- bias) { targets.append(target) }
        }
        return targets
    }

    /// Whether there is a variable at the stated address.
    private func isData(_ stated: UInt64) -> Bool {
        file.sections.contains { $0.isWritable && $0.contains(stated) }
    }
}
