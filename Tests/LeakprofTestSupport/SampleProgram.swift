internal import LeakprofModel

/// A program of Samples/, compiled for a test.
package struct SampleProgram: Sendable {
    package let path: String

    /// Nothing is optimized away that the test is about: without -fno-builtin a compiler may delete a
    /// malloc whose block is only freed.
    package static let defaultFlags = ["-O2", "-g", "-fno-builtin"]

    /// Compiles a C, C++ or Swift file once per set of flags, and keeps the result for the whole run.
    ///
    /// - Parameters:
    ///   - source: The file's name in Samples/.
    ///   - flags: Compiler flags; more files and libraries may be among them.
    ///   - suffix: The result's file name is the source's, without extension, and this.
    /// - Returns: The program.
    /// - Throws: ``TestFailure`` with what the compiler said.
    package static func build(
        _ source: String, flags: [String] = defaultFlags, suffix: String = ""
    ) async throws -> SampleProgram {
        SampleProgram(path: try await Builds.shared.build(source, flags: flags, suffix: suffix))
    }
}

/// Compiled samples by how they were compiled.
private actor Builds {
    static let shared = Builds()

    private var tasks: [String: Task<String, any Error>] = [:]
    private var directory: TemporaryDirectory?

    func build(_ source: String, flags: [String], suffix: String) async throws -> String {
        let key = ([source] + flags + [suffix]).joined(separator: " ")
        if let task = tasks[key] { return try await task.value }
        let directory = try self.directory ?? TemporaryDirectory(in: "/tmp")
        self.directory = directory
        let number = tasks.count
        let task = Task {
            let stem = String(source.prefix { $0 != "." })
            let output = "\(directory.path)/\(number)/\(stem)\(suffix)"
            try await Programs.succeed("mkdir", ["-p", "\(directory.path)/\(number)"])
            let compiler =
                source.hasSuffix(".cpp") ? "c++" : source.hasSuffix(".swift") ? "swiftc" : "cc"
            try await Programs.succeed(
                compiler, ["\(BuiltProducts.root)/Samples/\(source)", "-o", output] + flags)
            return output
        }
        tasks[key] = task
        return try await task.value
    }
}
