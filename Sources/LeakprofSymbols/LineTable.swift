internal import CElfutils

/// Which file and line the code of a unit is from.
struct LineTable {
    private var unit = Dwarf_Die()
    private let isReadable: Bool
    /// Where the compiler ran: what relative paths are relative to.
    private let directory: String
    /// By libdw's text, which lives as long as the session.
    private var paths: [UnsafePointer<CChar>: String] = [:]
    private lazy var files = readFiles()

    init(of place: DebugInformation.UnitPlace, in information: DebugInformation) {
        isReadable = dwarf_offdie(information.handle, place.firstDie, &unit) != nil
        var found = Dwarf_Attribute()
        directory =
            isReadable && dwarf_attr(&unit, UInt32(DW_AT_comp_dir), &found) != nil
            ? dwarf_formstring(&found).map { String(cString: $0) } ?? "" : ""
    }

    /// The file and line of a stated address; empty and 0 when the line table does not say.
    mutating func place(of address: UInt64) -> (file: String, line: Int64) {
        guard isReadable, let entry = dwarf_getsrc_die(&unit, address) else { return ("", 0) }
        var line: Int32 = 0
        dwarf_lineno(entry, &line)
        return (path(dwarf_linesrc(entry, nil, nil)), Int64(max(0, line)))
    }

    /// The path of a file by its number; empty when there is no such file.
    mutating func path(ofFile number: UInt64) -> String {
        guard let files else { return "" }
        return path(dwarf_filesrc(files, Int(clamping: number), nil, nil))
    }

    private mutating func readFiles() -> OpaquePointer? {
        var files: OpaquePointer?
        return isReadable && dwarf_getsrcfiles(&unit, &files, nil) == 0 ? files : nil
    }

    private mutating func path(_ text: UnsafePointer<CChar>?) -> String {
        guard let text else { return "" }
        if let known = paths[text] { return known }
        let path = absolute(String(cString: text))
        paths[text] = path
        return path
    }

    private func absolute(_ path: String) -> String {
        // "<compiler-generated>", "<artificial>": no file at all.
        if path.hasPrefix("<") { return "" }
        let isRelative = !path.hasPrefix("/") && !path.isEmpty && !directory.isEmpty
        return SourcePath.normalized(isRelative ? directory + "/" + path : path)
    }
}

/// Paths in debug information.
enum SourcePath {
    /// The path without `.` and `..` components.
    ///
    /// Compilers leave them in when a build names files relative to its directory. Symlinks are not
    /// looked at.
    static func normalized(_ path: String) -> String {
        guard path.contains("./") || path.contains("//") else { return path }
        var parts: [Substring] = []
        for part in path.split(separator: "/") {
            if part == "." { continue }
            if part == ".." && (parts.last.map { $0 != ".." } ?? path.hasPrefix("/")) {
                _ = parts.popLast()
            } else {
                parts.append(part)
            }
        }
        return (path.hasPrefix("/") ? "/" : "") + parts.joined(separator: "/")
    }
}
