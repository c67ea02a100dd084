internal import Glibc

/// Files whose paths come from the target, which may have put anything there.
enum RegularFile {
    /// `O_PATH`, which is declared for _GNU_SOURCE alone.
    private static let pathOnly: Int32 = 0o10_000_000

    /// Opens a regular file for reading; `nil` for anything else.
    ///
    /// A pipe would block, and a device may act on being opened, so the file is looked at before.
    static func open(_ path: String, followingLinks: Bool = true) -> Int32? {
        let links = followingLinks ? 0 : O_NOFOLLOW
        let place = Glibc.open(path, pathOnly | O_CLOEXEC | links)
        guard place >= 0 else { return nil }
        defer { close(place) }
        var status = stat()
        guard fstat(place, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        let descriptor = Glibc.open("/proc/self/fd/\(place)", O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        return descriptor >= 0 ? descriptor : nil
    }
}

/// Files that are read whole.
enum SmallFile {
    enum Contents {
        case bytes([UInt8])
        case tooLarge
        /// It is not there, is not a regular file, may not be read, or belongs to somebody else.
        case unreadable
    }

    /// The file's bytes, if it has no more than `limit`, and belongs to `owner` if one is given.
    static func read(_ path: String, limit: Int = 64 << 20, owner: uid_t? = nil) -> Contents {
        guard let descriptor = RegularFile.open(path, followingLinks: false) else {
            return .unreadable
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, owner.map({ $0 == status.st_uid }) ?? true else {
            return .unreadable
        }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while bytes.count <= limit {
            let got = Glibc.read(descriptor, &chunk, chunk.count)
            guard got > 0 else { return got == 0 ? .bytes(bytes) : .unreadable }
            bytes.append(contentsOf: chunk[..<got])
        }
        return .tooLarge
    }

    /// The file as text; `nil` when it can't be read.
    static func text(_ path: String) -> String? {
        guard case .bytes(let bytes) = read(path) else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }
}
