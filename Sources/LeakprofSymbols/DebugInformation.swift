internal import CElfutils

/// The debug information of one file, by address.
///
/// Addresses are those stated in the file.
final class DebugInformation {
    /// libdw's, which lives as long as the libdwfl session it comes from.
    let handle: OpaquePointer
    private let info: UnsafeRawBufferPointer
    private let abbreviationSection: UnsafeRawBufferPointer
    private let addressSection: UnsafeRawBufferPointer
    /// By the code they cover, sorted; read on first use.
    private lazy var unitRanges = readUnitRanges()
    /// Whether a unit leaves what it knows of functions to a .dwo file, which is not read.
    private(set) var isSplit = false
    private var units: [Dwarf_Off: DwarfUnit] = [:]
    private var tables: [TableKey: Abbreviations] = [:]
    /// How many more address ranges, and abbreviations and their attributes, are kept.
    ///
    /// More than any build makes. Many DIEs may share one long list of ranges, and many tables their ends, so
    /// that a small file could come to very many.
    private var rangesLeft = 1 << 24
    private var abbreviationsLeft = 1 << 24

    /// Where a unit lies in .debug_info, and what is needed to read it.
    struct UnitPlace {
        let start: Dwarf_Off
        let firstDie: Dwarf_Off
        let end: Dwarf_Off
        let abbreviations: Dwarf_Off
        let format: DieAttribute.Format
    }

    private struct UnitRange {
        var low: UInt64
        var high: UInt64
        var place: UnitPlace
    }

    /// Units may share a table.
    private struct TableKey: Hashable {
        var offset: Dwarf_Off
        var format: DieAttribute.Format
    }

    init(_ handle: OpaquePointer) {
        self.handle = handle
        let elf = dwarf_getelf(handle)
        info = Self.section([".debug_info", ".zdebug_info"], of: elf)
        abbreviationSection = Self.section([".debug_abbrev", ".zdebug_abbrev"], of: elf)
        addressSection = Self.section([".debug_addr", ".zdebug_addr"], of: elf)
    }

    /// The section's bytes, which libdw has decompressed; empty when there is none of these names.
    private static func section(
        _ names: [String], of elf: OpaquePointer?
    ) -> UnsafeRawBufferPointer {
        var nameSection = 0
        guard let elf, elf_getshdrstrndx(elf, &nameSection) == 0 else {
            return UnsafeRawBufferPointer(start: nil, count: 0)
        }
        var section = elf_nextscn(elf, nil)
        while let current = section {
            var header = GElf_Shdr()
            if gelf_getshdr(current, &header) != nil,
                let name = elf_strptr(elf, nameSection, Int(header.sh_name)),
                names.contains(String(cString: name)), let data = elf_getdata(current, nil)
            {
                return UnsafeRawBufferPointer(
                    start: data.pointee.d_buf, count: data.pointee.d_size)
            }
            section = elf_nextscn(elf, current)
        }
        return UnsafeRawBufferPointer(start: nil, count: 0)
    }

    /// The unit that has code at an address.
    func unit(at address: UInt64) -> DwarfUnit? {
        let following = unitRanges.firstIndex(sortedBy: { address < $0.low })
        guard following > 0, address < unitRanges[following - 1].high else { return nil }
        let place = unitRanges[following - 1].place
        if let known = units[place.start] { return known }
        let unit = DwarfUnit(place, of: self)
        units[place.start] = unit
        return unit
    }

    /// Not from .debug_aranges, which clang does not write.
    private func readUnitRanges() -> [UnitRange] {
        var ranges: [UnitRange] = []
        var start: Dwarf_Off = 0
        var next: Dwarf_Off = 0
        var headerBytes = 0
        var version: Dwarf_Half = 0
        var table: Dwarf_Off = 0
        var addressBytes: UInt8 = 0
        var offsetBytes: UInt8 = 0
        while dwarf_next_unit(
            handle, start, &next, &headerBytes, &version, &table, &addressBytes, &offsetBytes, nil,
            nil) == 0
        {
            // A damaged length may lead backwards.
            guard next > start else { break }
            defer { start = next }
            guard addressBytes == 4 || addressBytes == 8 else { continue }
            let place = UnitPlace(
                start: start, firstDie: start + Dwarf_Off(headerBytes), end: next,
                abbreviations: table,
                format: DieAttribute.Format(
                    version: version, addressBytes: Int(addressBytes),
                    offsetBytes: Int(offsetBytes)))
            isSplit = isSplit || hasSplitFile(place.firstDie)
            for range in self.ranges(ofDieAt: place.firstDie) {
                ranges.append(UnitRange(low: range.low, high: range.high, place: place))
            }
        }
        return ranges.sorted { ($0.low, $0.high) < ($1.low, $1.high) }
    }

    private func hasSplitFile(_ unit: Dwarf_Off) -> Bool {
        var die = Dwarf_Die()
        guard dwarf_offdie(handle, unit, &die) != nil else { return false }
        return dwarf_hasattr(&die, UInt32(DW_AT_dwo_name)) != 0
            || dwarf_hasattr(&die, UInt32(DW_AT_GNU_dwo_name)) != 0
    }

    /// What is needed to read the unit's DIEs.
    func dies(of place: UnitPlace) -> DieReader.Unit {
        let end = min(Int(clamping: place.end), info.count)
        return DieReader.Unit(
            info: UnsafeRawBufferPointer(rebasing: info[..<end]), start: Int(clamping: place.start),
            abbreviations: abbreviations(of: place), addresses: addresses(of: place))
    }

    private func abbreviations(of place: UnitPlace) -> Abbreviations {
        let key = TableKey(offset: place.abbreviations, format: place.format)
        if let known = tables[key] { return known }
        let table = Abbreviations(
            abbreviationSection, at: Int(clamping: place.abbreviations), format: place.format,
            attributesLimit: abbreviationsLeft)
        abbreviationsLeft -= table.shapes.count + table.attributes.count
        tables[key] = table
        return table
    }

    private func addresses(of place: UnitPlace) -> UnsafeRawBufferPointer {
        var die = Dwarf_Die()
        var found = Dwarf_Attribute()
        var base: Dwarf_Word = 0
        guard dwarf_offdie(handle, place.firstDie, &die) != nil,
            dwarf_attr(&die, UInt32(DW_AT_addr_base), &found) != nil,
            dwarf_formudata(&found, &base) == 0, base <= UInt64(addressSection.count)
        else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return UnsafeRawBufferPointer(rebasing: addressSection[Int(base)...])
    }

    /// The address ranges of a DIE's code.
    func ranges(ofDieAt offset: Dwarf_Off) -> [(low: UInt64, high: UInt64)] {
        var die = Dwarf_Die()
        guard dwarf_offdie(handle, offset, &die) != nil else { return [] }
        var ranges: [(low: UInt64, high: UInt64)] = []
        var base: Dwarf_Addr = 0
        var low: Dwarf_Addr = 0
        var high: Dwarf_Addr = 0
        var position = 0
        while true {
            position = dwarf_ranges(&die, position, &base, &low, &high)
            guard position > 0, rangesLeft > 0 else { return ranges }
            rangesLeft -= 1
            if low < high { ranges.append((low, high)) }
        }
    }

    /// A function's names and place, as its debug information states them; what it leaves to its
    /// declaration or origin is followed there.
    func function(ofDieAt offset: Dwarf_Off) -> DebugFunction {
        var die = Dwarf_Die()
        guard dwarf_offdie(handle, offset, &die) != nil else { return DebugFunction() }
        var found = Dwarf_Attribute()
        var function = DebugFunction()
        for attribute in [DW_AT_linkage_name, DW_AT_MIPS_linkage_name]
        where dwarf_attr_integrate(&die, UInt32(attribute), &found) != nil {
            function.linkageName = dwarf_formstring(&found)
            break
        }
        function.name = dwarf_diename(&die)
        var line: Int32 = 0
        if dwarf_decl_line(&die, &line) == 0 { function.declarationLine = Int64(max(0, line)) }
        return function
    }
}

/// What debug information says about a function; the names live as long as the session.
struct DebugFunction {
    var linkageName: UnsafePointer<CChar>?
    var name: UnsafePointer<CChar>?
    var declarationLine: Int64 = 0
}

extension RandomAccessCollection where Index == Int {
    /// The index of the first element that `isAfter` is true of, in a collection that is sorted by it;
    /// the end when there is none.
    func firstIndex(sortedBy isAfter: (Element) -> Bool) -> Int {
        var low = startIndex
        var high = endIndex
        while low < high {
            let middle = low + (high - low) / 2
            if isAfter(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
