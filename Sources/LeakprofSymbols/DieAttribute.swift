internal import CElfutils

/// One attribute of a DIE, as the unit's abbreviations describe it.
struct DieAttribute {
    /// What it is read for.
    enum Role: UInt8 {
        case none, lowAddress, highAddress, length, name, callFile, callLine
        /// The low address, as an index of the unit's table of addresses.
        case lowAddressIndex
        /// Ranges, or an address that has yet another form.
        case elsewhere
        /// References to another DIE of the unit, and to one anywhere in .debug_info.
        case originInUnit, originInFile

        /// Whether it says where code lies.
        var isOfCode: Bool {
            switch self {
            case .lowAddress, .lowAddressIndex, .highAddress, .length, .elsewhere: true
            default: false
            }
        }
    }

    /// How its value lies in the file.
    enum Encoding: Equatable {
        case fixed(bytes: Int)
        case leb128
        case text
        /// A length of so many bytes, and then as many bytes as it says; 0 is a length in LEB128.
        case block(lengthBytes: Int)
        /// The form is in front of the value.
        case indirect
        /// The value is in the abbreviation.
        case constant(UInt64)
    }

    /// What the sizes of values depend on.
    struct Format: Hashable {
        /// Of DWARF.
        let version: UInt16
        let addressBytes: Int
        /// Of offsets in sections.
        let offsetBytes: Int
    }

    let role: Role
    let encoding: Encoding

    /// `nil` for a form nobody has told us of: where its value ends is unknown.
    init?(name: UInt64, form: UInt64, constant: UInt64, format: Format) {
        guard let encoding = Self.encoding(of: form, constant: constant, format) else { return nil }
        self.encoding = encoding
        role = Self.role(of: name, form: form)
    }

    /// Whether the abbreviation has the value, behind the form.
    static func hasConstant(_ form: UInt64) -> Bool { form == UInt64(DW_FORM_implicit_const) }

    private static func role(of name: UInt64, form: UInt64) -> Role {
        switch Int(clamping: name) {
        case Int(DW_AT_low_pc):
            isAddress(form) ? .lowAddress : isAddressIndex(form) ? .lowAddressIndex : .elsewhere
        case Int(DW_AT_high_pc):
            isAddress(form) ? .highAddress : isNumber(form) ? .length : .elsewhere
        case Int(DW_AT_ranges): .elsewhere
        case Int(DW_AT_abstract_origin):
            form == UInt64(DW_FORM_ref_addr)
                ? .originInFile : isReferenceInUnit(form) ? .originInUnit : .none
        case Int(DW_AT_name), Int(DW_AT_linkage_name), Int(DW_AT_MIPS_linkage_name): .name
        case Int(DW_AT_call_file): isNumber(form) ? .callFile : .none
        case Int(DW_AT_call_line): isNumber(form) ? .callLine : .none
        default: .none
        }
    }

    private static func isAddress(_ form: UInt64) -> Bool { form == UInt64(DW_FORM_addr) }

    private static func isAddressIndex(_ form: UInt64) -> Bool {
        [DW_FORM_addrx, DW_FORM_addrx1, DW_FORM_addrx2, DW_FORM_addrx3, DW_FORM_addrx4]
            .contains { form == UInt64($0) }
    }

    private static func isNumber(_ form: UInt64) -> Bool {
        [
            DW_FORM_data1, DW_FORM_data2, DW_FORM_data4, DW_FORM_data8, DW_FORM_udata,
            DW_FORM_sdata, DW_FORM_implicit_const,
        ].contains { form == UInt64($0) }
    }

    private static func isReferenceInUnit(_ form: UInt64) -> Bool {
        [DW_FORM_ref1, DW_FORM_ref2, DW_FORM_ref4, DW_FORM_ref8, DW_FORM_ref_udata]
            .contains { form == UInt64($0) }
    }

    /// `constant` is the value that the abbreviation has, if it has it.
    static func encoding(of form: UInt64, constant: UInt64, _ format: Format) -> Encoding? {
        switch Int(clamping: form) {
        case Int(DW_FORM_addr): .fixed(bytes: format.addressBytes)
        case Int(DW_FORM_ref_addr):
            // DWARF 2 has them as large as addresses.
            .fixed(bytes: format.version <= 2 ? format.addressBytes : format.offsetBytes)
        case Int(DW_FORM_strp), Int(DW_FORM_line_strp), Int(DW_FORM_sec_offset),
            Int(DW_FORM_strp_sup), Int(DW_FORM_GNU_ref_alt), Int(DW_FORM_GNU_strp_alt):
            .fixed(bytes: format.offsetBytes)
        case Int(DW_FORM_flag_present): .fixed(bytes: 0)
        case Int(DW_FORM_data1), Int(DW_FORM_ref1), Int(DW_FORM_flag), Int(DW_FORM_strx1),
            Int(DW_FORM_addrx1):
            .fixed(bytes: 1)
        case Int(DW_FORM_data2), Int(DW_FORM_ref2), Int(DW_FORM_strx2), Int(DW_FORM_addrx2):
            .fixed(bytes: 2)
        case Int(DW_FORM_strx3), Int(DW_FORM_addrx3): .fixed(bytes: 3)
        case Int(DW_FORM_data4), Int(DW_FORM_ref4), Int(DW_FORM_strx4), Int(DW_FORM_addrx4),
            Int(DW_FORM_ref_sup4):
            .fixed(bytes: 4)
        case Int(DW_FORM_data8), Int(DW_FORM_ref8), Int(DW_FORM_ref_sig8), Int(DW_FORM_ref_sup8):
            .fixed(bytes: 8)
        case Int(DW_FORM_data16): .fixed(bytes: 16)
        case Int(DW_FORM_sdata), Int(DW_FORM_udata), Int(DW_FORM_ref_udata), Int(DW_FORM_strx),
            Int(DW_FORM_addrx), Int(DW_FORM_loclistx), Int(DW_FORM_rnglistx),
            Int(DW_FORM_GNU_addr_index), Int(DW_FORM_GNU_str_index):
            .leb128
        case Int(DW_FORM_string): .text
        case Int(DW_FORM_block1): .block(lengthBytes: 1)
        case Int(DW_FORM_block2): .block(lengthBytes: 2)
        case Int(DW_FORM_block4): .block(lengthBytes: 4)
        case Int(DW_FORM_block), Int(DW_FORM_exprloc): .block(lengthBytes: 0)
        case Int(DW_FORM_indirect): .indirect
        case Int(DW_FORM_implicit_const): .constant(constant)
        default: nil
        }
    }
}
