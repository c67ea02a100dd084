internal import CElfutils
internal import Glibc
internal import LeakprofModel

/// One file's symbols and debug information, at the address where the target had it mapped.
///
/// Each mapping has a libdwfl session of its own, so two files that were mapped at one address one after
/// the other do not get into each other's way.
final class DwflModule {
    private let session: OpaquePointer
    private let module: OpaquePointer
    private lazy var symbols = SymbolIndex(of: module)
    /// Units by the code they cover, sorted; read on first use.
    private lazy var units: [UnitRange] = readUnitRanges()
    private var readUnits: [Dwarf_Off: DwarfUnit] = [:]
    private var debugInformation: OpaquePointer?
    private var bias: Dwarf_Addr = 0
    private var hasLookedForDebugInformation = false

    private struct UnitRange {
        var low: UInt64
        var high: UInt64
        var die: Dwarf_Die
    }

    /// Reads the file behind `descriptor`, which this takes over; `nil` when it is not an ELF file.
    ///
    /// Debug files are looked for next to `path`; `start` is the runtime address where the file's first
    /// byte is mapped.
    init?(descriptor: Int32, path: String, start: UInt64, callbacks: UnsafePointer<Dwfl_Callbacks>)
    {
        guard let session = dwfl_begin(callbacks) else {
            close(descriptor)
            return nil
        }
        dwfl_report_begin(session)
        guard let module = dwfl_report_elf(session, path, path, descriptor, start, false) else {
            // libdwfl owns the descriptor only when it made a module.
            close(descriptor)
            dwfl_end(session)
            return nil
        }
        dwfl_report_end(session, nil, nil)
        self.session = session
        self.module = module
    }

    deinit { dwfl_end(session) }

    /// The file's build ID in lowercase hexadecimal; empty when it has none.
    var buildID: String {
        // Before anything else is asked: the note is read with the file's headers.
        var elfBias: Dwarf_Addr = 0
        _ = dwfl_module_getelf(module, &elfBias)
        var bits: UnsafePointer<UInt8>?
        var address: GElf_Addr = 0
        let length = dwfl_module_build_id(module, &bits, &address)
        guard length > 0, let bits else { return "" }
        return UnsafeBufferPointer(start: bits, count: Int(length)).map { byte in
            (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }.joined()
    }

    /// Whether there is debug information, in the file or in a separate one.
    var hasDebugInformation: Bool {
        findDebugInformation()
        return debugInformation != nil
    }

    /// The frames at a runtime address, innermost inlined function first; empty when neither debug
    /// information nor a symbol covers it.
    func frames(at address: UInt64) -> [Frame] {
        let debugFrames = framesFromDebugInformation(at: address)
        if !debugFrames.isEmpty { return debugFrames }
        guard let symbol = symbol(at: address) else { return [] }
        return [frame(linkageName: symbol, name: symbol, file: "", line: 0, startLine: 0)]
    }

    // MARK: Debug information

    private func findDebugInformation() {
        guard !hasLookedForDebugInformation else { return }
        hasLookedForDebugInformation = true
        debugInformation = dwfl_module_getdwarf(module, &bias)
    }

    private func framesFromDebugInformation(at address: UInt64) -> [Frame] {
        findDebugInformation()
        guard debugInformation != nil else { return [] }
        let stated = address &- bias
        guard let unit = unit(at: stated) else { return [] }
        let instances = unit.instances(at: stated)
        guard !instances.isEmpty else {
            // Code of a unit outside of its functions: assembly with line numbers.
            let (file, line) = unit.sourceLine(at: stated)
            guard line != 0, let symbol = symbol(at: address) else { return [] }
            return [frame(linkageName: symbol, name: symbol, file: file, line: line, startLine: 0)]
        }
        return instances.enumerated().map { index, instance in
            let function = instance.function
            var linkageName = function.linkageName
            if linkageName.isEmpty, index == instances.count - 1 {
                // Debug information leaves the linkage names of local functions out. The function that
                // contains the code has a symbol, which tells more if it is mangled; what was inlined
                // has none.
                let symbol = symbol(at: address) ?? ""
                let tellsMore = function.name.isEmpty || Demangler.demangle(symbol) != symbol
                linkageName = tellsMore ? symbol : ""
            }
            return frame(
                linkageName: linkageName, name: function.name.isEmpty ? "?" : function.name,
                file: instance.file, line: instance.line, startLine: function.declarationLine)
        }
    }

    private func unit(at address: UInt64) -> DwarfUnit? {
        var low = 0
        var high = units.count
        while low < high {
            let middle = (low + high) / 2
            if units[middle].low <= address { low = middle + 1 } else { high = middle }
        }
        guard low > 0, address < units[low - 1].high else { return nil }
        var die = units[low - 1].die
        let offset = dwarf_dieoffset(&die)
        if let known = readUnits[offset] { return known }
        let unit = DwarfUnit(unit: die)
        readUnits[offset] = unit
        return unit
    }

    /// Not from .debug_aranges, which clang does not write.
    private func readUnitRanges() -> [UnitRange] {
        var ranges: [UnitRange] = []
        var unit: OpaquePointer?
        var next: OpaquePointer?
        var die = Dwarf_Die()
        while dwarf_get_units(
            debugInformation, unit, &next, nil, nil, &die, nil) == 0
        {
            unit = next
            for range in DwarfUnit.ranges(of: die) {
                ranges.append(UnitRange(low: range.low, high: range.high, die: die))
            }
        }
        return ranges.sorted { ($0.low, $0.high) < ($1.low, $1.high) }
    }

    // MARK: Symbols

    private func symbol(at address: UInt64) -> String? { symbols.name(at: address) }

    private func frame(
        linkageName: String, name: String, file: String, line: Int64, startLine: Int64
    ) -> Frame {
        let system = linkageName.isEmpty ? name : linkageName
        let readable = linkageName.isEmpty ? name : Demangler.demangle(linkageName)
        return Frame(
            function: readable, systemName: readable == system ? "" : system, file: file,
            line: line, startLine: startLine)
    }
}
