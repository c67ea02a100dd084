internal import Glibc

/// A version of Go that is installed here.
package struct GoToolchain: Sendable, CustomStringConvertible {
    /// Such as `1.26.6`.
    package let version: String
    /// The 26 of 1.26.
    package let minor: Int
    fileprivate let program: String

    package var description: String { version }

    /// Debian's, and those that script/bootstrap puts into .build/go; by version.
    package static let all: [GoToolchain] = {
        let directory = BuiltProducts.root + "/.build/go"
        let programs = Files.names(in: directory).map { "\(directory)/\($0)/go/bin/go" }
        return (["/usr/bin/go"] + programs.filter(Files.exists)).compactMap(GoToolchain.init)
            .sorted { $0.minor < $1.minor }
    }()

    /// The oldest one, and the newest.
    package static var ends: [GoToolchain] { [all.first, all.last].compactMap { $0 } }

    /// Asks the program; `nil` when it is none.
    private init?(program: String) {
        guard let answer = popen("GOTOOLCHAIN=local GOROOT= '\(program)' version 2>/dev/null", "re")
        else { return nil }
        var line = [CChar](repeating: 0, count: 100)
        let isAnswered = fgets(&line, Int32(line.count), answer) != nil
        guard pclose(answer) == 0, isAnswered else { return nil }
        let text = String(decoding: line.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        // "go version go1.26.6 linux/amd64"
        let words = text.split(separator: " ")
        guard words.count > 2, words[2].hasPrefix("go1.") else { return nil }
        version = String(words[2].dropFirst(2))
        let parts = version.split(separator: ".")
        guard parts.count > 1, let minor = Int(parts[1]) else { return nil }
        self.minor = minor
        self.program = program
    }

    /// How a program is built.
    package enum Form: String, Sendable, CaseIterable {
        case plain
        case stripped
        case positionIndependent
        case positionIndependentStripped

        fileprivate var flags: [String] {
            let strip = ["-ldflags=-s -w"]
            let independent = ["-buildmode=pie"]
            return switch self {
            case .plain: []
            case .stripped: strip
            case .positionIndependent: independent
            case .positionIndependentStripped: strip + independent
            }
        }
    }

    /// Builds a module of Samples/ once per form and tag, and keeps the result for the whole run.
    ///
    /// Throws ``TestFailure`` with what the compiler said.
    package func build(
        _ sample: String, _ form: Form = .plain, tag: String = "", cgo: Bool = false
    ) async throws -> String {
        try await Builds.shared.build(sample, form, tag: tag, cgo: cgo, with: self)
    }

    /// Compiled modules by how they were compiled.
    private actor Builds {
        static let shared = Builds()

        private var tasks: [String: Task<String, any Error>] = [:]
        private var directory: TemporaryDirectory?

        func build(
            _ sample: String, _ form: Form, tag: String, cgo: Bool, with go: GoToolchain
        ) async throws -> String {
            let key = "\(go.version)/\(form)\(tag)"
            if let task = tasks[key + sample] { return try await task.value }
            let directory = try self.directory ?? TemporaryDirectory(in: "/tmp")
            self.directory = directory
            let output = "\(directory.path)/\(key)/\(sample)"
            let cache = BuiltProducts.root + "/.build/go"
            let task = Task {
                try await Programs.succeed(
                    go.program,
                    ["build", "-trimpath", "-o", output] + form.flags
                        + ["-tags=\(tag)", "."],
                    environment: [
                        // What was compiled for an earlier run need not be compiled again.
                        "GOCACHE": cache + "/cache", "GOPATH": cache + "/path",
                        "GOPROXY": "off", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local",
                        "GOROOT": nil, "CGO_ENABLED": cgo ? "1" : "0",
                    ], directory: "\(BuiltProducts.root)/Samples/\(sample)")
                return output
            }
            tasks[key + sample] = task
            return try await task.value
        }
    }
}
