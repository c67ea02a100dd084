internal import Glibc
internal import LeakprofModel

/// A running Go program with what is needed to read it: its file, its memory, its table of functions.
///
/// Memory is read with pread(2) from /proc/PID/mem: the program is neither stopped nor slowed down, the open file
/// stays with this process even if its number is given to another, and containers that forbid process_vm_readv(2)
/// allow it.
final class GoReader {
    let version: GoVersion
    let memory: PagedBytes
    let file: ElfFile
    let module: GoModuleData
    let table: GoPclntab
    let variables: GoVariables
    private var frames: [UInt64: GoPclntab.Inlined?] = [:]

    init(_ process: LiveProcess, version text: String) throws(GoFailure) {
        guard let version = GoVersion(text), version.isKnown else {
            let (first, last) = (GoVersion.known.lowerBound, GoVersion.known.upperBound)
            throw GoFailure(
                reason: "it was built with \(text.clipped(toBytes: 100)), and what is known is "
                    + "Go 1.\(first) to 1.\(last)",
                advice: "a newer leakprof, or " + GoFailure.ownProfile)
        }
        self.version = version
        do {
            memory = try PagedBytes(path: "/proc/\(process.pid)/mem")
        } catch {
            throw GoFailure(
                reason: "its memory can't be read: \(error) (it is another user's, or "
                    + "kernel.yama.ptrace_scope lets only debuggers)",
                advice: "sudo leakprof …, or " + GoFailure.ownProfile)
        }
        guard let bytes = try? PagedBytes(path: "/proc/\(process.pid)/exe"),
            let file = ElfFile(bytes), let entry = Self.entry(of: process.pid)
        else { throw .damaged("its program can't be read") }
        self.file = file
        let bias = entry &- file.entry
        guard
            // The linker calls it so in programs that are position-independent.
            let section = file.section(".gopclntab") ?? file.section(".data.rel.ro.gopclntab"),
            let table = GoPclntab(bytes, at: section.offset, size: section.size, version),
            case let start = section.address &+ bias,
            let module = GoModuleData.find(
                in: memory, of: file, bias: bias, table: start, names: start &+ table.namesOffset,
                version)
        else {
            throw GoFailure(
                reason: "its table of functions (.gopclntab) is not there, or is not that of "
                    + version.text, advice: GoFailure.ownProfile)
        }
        self.table = table
        self.module = module
        variables = GoVariables(
            file: file, memory: memory, bias: bias, table: table, module: module)
    }

    /// Where the program began, from the auxiliary vector (getauxval(3)).
    private static func entry(of pid: Int32) -> UInt64? {
        auxiliaryValue(UInt64(AT_ENTRY), of: pid)
    }

    /// Tells two programs that one process ran after another (exec) apart, as the kernel puts each's first stack
    /// elsewhere; hexadecimal, empty when it is not known.
    static func image(of pid: Int32) -> String {
        auxiliaryValue(UInt64(AT_RANDOM), of: pid).map { String($0, radix: 16) } ?? ""
    }

    private static func auxiliaryValue(_ type: UInt64, of pid: Int32) -> UInt64? {
        guard let vector = ProcFile.bytes("/proc/\(pid)/auxv", limit: 1 << 14) else { return nil }
        for start in stride(from: 0, to: vector.count, by: 16)
        where vector.number(at: start, as: UInt64.self) == type {
            return vector.number(at: start + 8)
        }
        return nil
    }

    /// The addresses of the variables; throws when one of them is not found.
    func require(
        _ wanted: [GoVariables.Variable]
    ) throws(GoFailure) -> [GoVariables.Variable: UInt64] {
        let found = variables.addresses(of: wanted)
        guard found.count == wanted.count else {
            throw GoFailure(
                reason:
                    "the variables of its runtime were not found, neither by symbols nor by code",
                advice: GoFailure.ownProfile)
        }
        return found
    }

    /// The innermost function at a return address; `nil` for what is no Go code.
    func frame(returningTo address: UInt64) -> GoPclntab.Inlined? {
        if let known = frames[address] { return known }
        let frame = offset(of: address).flatMap {
            table.frame(at: $0, memory: memory, functionData: module.functionData)
        }
        frames[address] = frame
        return frame
    }

    /// All functions at a return address, innermost first; none for what is no Go code.
    func frames(returningTo address: UInt64) -> [Frame] {
        guard let offset = offset(of: address) else { return [] }
        return table.frames(at: offset, memory: memory, functionData: module.functionData)
            .map(\.frame)
    }

    /// The return address that stands for the caller of an inlined function.
    func returnAddress(after offset: UInt64) -> UInt64 { module.text &+ offset &+ 1 }

    /// Where the call is that returns to `address`, from the start of the code.
    private func offset(of address: UInt64) -> UInt64? {
        guard address > module.text, address <= module.codeEnd else { return nil }
        return address - 1 - module.text
    }
}
