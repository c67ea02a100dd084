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
    private lazy var debugInformation = findDebugInformation()
    /// What to add to addresses stated in the debug information.
    private var bias: Dwarf_Addr = 0
    /// Frames without file and line, by the DIE of the function.
    private var functions: [Int: Frame] = [:]
    private var readableNames: [UnsafePointer<CChar>: FunctionName] = [:]

    private struct FunctionName {
        var linkage: String
        var readable: String
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
    var hasDebugInformation: Bool { debugInformation != nil }

    /// Whether a part of it is in .dwo files (split DWARF), which are not read; known once frames were asked for.
    var hasUnreadDebugInformation: Bool { debugInformation?.isSplit ?? false }

    /// The frames at a runtime address, innermost inlined function first; empty when neither debug
    /// information nor a symbol covers it.
    func frames(at address: UInt64) -> [Frame] {
        let debugFrames = framesFromDebugInformation(at: address)
        if !debugFrames.isEmpty { return debugFrames }
        guard let symbol = symbol(at: address) else { return [] }
        return [frame(of: symbol)]
    }

    // MARK: Debug information

    private func findDebugInformation() -> DebugInformation? {
        dwfl_module_getdwarf(module, &bias).map(DebugInformation.init)
    }

    private func framesFromDebugInformation(at address: UInt64) -> [Frame] {
        guard let debugInformation else { return [] }
        let stated = address &- bias
        guard let unit = debugInformation.unit(at: stated) else { return [] }
        let instances = unit.instances(at: stated)
        guard !instances.isEmpty else {
            // Code of a unit outside of its functions: assembly with line numbers.
            let (file, line) = unit.sourceLine(at: stated)
            guard line != 0, let symbol = symbol(at: address) else { return [] }
            return [frame(of: symbol, file: file, line: line)]
        }
        return instances.enumerated().map { index, instance in
            let symbolAddress = index == instances.count - 1 ? address : nil
            var frame = frame(of: instance, in: debugInformation, symbolAddress: symbolAddress)
            frame.file = instance.file
            frame.line = instance.line
            return frame
        }
    }

    /// `symbolAddress` is an address of the function if that is not inlined, so that it has a symbol.
    private func frame(
        of instance: DwarfUnit.Instance, in debugInformation: DebugInformation,
        symbolAddress: UInt64?
    ) -> Frame {
        if let known = functions[instance.function] { return known }
        let function = debugInformation.function(ofDieAt: Dwarf_Off(instance.die))
        let plainName = function.name.map { String(cString: $0) } ?? ""
        var name = name(function.linkageName)
        if name.linkage.isEmpty, let symbolAddress, let symbol = symbol(at: symbolAddress) {
            // Debug information leaves the linkage names of local functions out. The function that
            // contains the code has a symbol, which tells more if it is mangled; what was inlined
            // has none.
            if plainName.isEmpty || symbol.readable != symbol.linkage { name = symbol }
        }
        if name.linkage.isEmpty {
            let shown = plainName.isEmpty ? "?" : plainName
            name = FunctionName(linkage: shown, readable: shown)
        }
        let frame = frame(of: name, startLine: function.declarationLine)
        functions[instance.function] = frame
        return frame
    }

    // MARK: Names

    private func symbol(at address: UInt64) -> FunctionName? {
        symbols.name(at: address).map { name($0) }
    }

    /// A name that lives as long as the session.
    private func name(_ text: UnsafePointer<CChar>?) -> FunctionName {
        guard let text, text.pointee != 0 else { return FunctionName(linkage: "", readable: "") }
        if let known = readableNames[text] { return known }
        let linkage = String(cString: text)
        let name = FunctionName(linkage: linkage, readable: Demangler.demangle(linkage))
        readableNames[text] = name
        return name
    }

    private func frame(
        of name: FunctionName, file: String = "", line: Int64 = 0, startLine: Int64 = 0
    ) -> Frame {
        let limit = Frame.nameLimit
        return Frame(
            function: name.readable.clipped(toBytes: limit),
            systemName: name.readable == name.linkage ? "" : name.linkage.clipped(toBytes: limit),
            file: file.clipped(toBytes: limit), line: line, startLine: startLine)
    }
}
