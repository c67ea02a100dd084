internal import Glibc
internal import LeakprofModel

/// What this build made, and where the sources lie.
package enum BuiltProducts {
    /// The folder the test program lies in; the products are beside it.
    package static let directory: String = {
        let program = ProcessFile.link("/proc/self/exe") ?? ""
        // swift-testing may be run by a helper that loads the test bundle: then the bundle is an argument.
        let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? program
        return String(bundle.dropLast(bundle.lastPathComponent.count + 1))
    }()

    package static var leakprof: String { directory + "/leakprof" }
    package static var shim: String { directory + "/libleakshim.so" }

    /// The top of the checkout.
    package static let root: String = {
        let components = #filePath.split(separator: "/").dropLast(3)
        return "/" + components.joined(separator: "/")
    }()
}

enum ProcessFile {
    static func link(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }
}

/// A directory that is removed when the object goes.
package final class TemporaryDirectory: Sendable {
    package let path: String

    /// Makes a directory for this user alone; in /dev/shm, where recordings lie by default.
    package init(in parent: String = "/dev/shm") throws {
        var template = Array("\(parent)/leakprof-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw TestFailure("can't make \(parent)/…") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { Self.remove(path) }

    private static func remove(_ path: String) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        if status.st_mode & S_IFMT == S_IFDIR {
            for name in Files.names(in: path) { remove(path + "/" + name) }
            rmdir(path)
        } else {
            unlink(path)
        }
    }
}

/// Something a test needs that did not work.
package struct TestFailure: Error, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}

/// Files, for tests.
package enum Files {
    package static func names(in directory: String) -> [String] {
        guard let stream = opendir(directory) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    package static func bytes(of path: String) throws -> [UInt8] {
        guard let file = fopen(path, "re") else { throw TestFailure("can't read \(path)") }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let got = fread(&chunk, 1, chunk.count, file)
            if got == 0 { return bytes }
            bytes.append(contentsOf: chunk[..<got])
        }
    }

    package static func text(of path: String) throws -> String {
        String(decoding: try bytes(of: path), as: UTF8.self)
    }

    package static func write(_ bytes: [UInt8], to path: String) throws {
        guard let file = fopen(path, "we") else { throw TestFailure("can't write \(path)") }
        let written = fwrite(bytes, 1, bytes.count, file)
        guard fclose(file) == 0, written == bytes.count else {
            throw TestFailure("can't write \(path)")
        }
    }

    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }
}
