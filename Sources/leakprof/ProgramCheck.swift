internal import Glibc
internal import LeakprofModel
internal import LeakprofSymbols

/// What can be known about a program before it is run under the shim.
enum ProgramCheck {
    /// The file that `name` means, searched in PATH like a shell does.
    static func locate(_ name: String) throws -> String {
        if name.contains("/") {
            guard access(name, F_OK) == 0 else { throw notFound(name) }
            return name
        }
        let path = Console.environment("PATH") ?? "/usr/local/bin:/usr/bin:/bin"
        for directory in path.split(separator: ":", omittingEmptySubsequences: false) {
            let candidate = (directory.isEmpty ? "." : String(directory)) + "/" + name
            if access(candidate, X_OK) == 0, !isDirectory(candidate) { return candidate }
        }
        throw notFound(name)
    }

    private static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    private static func notFound(_ name: String) -> Failure {
        Failure("there is no program \(name)", try: "its path, as in leakprof run -- ./\(name)")
    }

    /// Why a program will run unrecorded.
    struct Obstacle {
        var reason: String
        /// With the shim in its environment, the program would not run as it does without.
        var keepsShimOut = false
    }

    /// What is in the way of recording the program; `nil` when nothing is.
    static func obstacle(to path: String, depth: Int = 0) -> Obstacle? {
        guard let file = ExecutableFile(path: path) else {
            return Obstacle(
                reason: "\(path) can't be read, so whether it can be recorded is not known")
        }
        if case .script(let interpreter) = file.kind, depth < 4 {
            return obstacle(to: interpreter, depth: depth + 1)
        }
        return obstacle(file)
    }

    static func obstacle(_ file: ExecutableFile) -> Obstacle? {
        let path = file.path
        if file.gainsPrivileges {
            return Obstacle(
                reason: "\(path) runs with more rights than you have, so the loader ignores "
                    + "LD_PRELOAD: nothing will be recorded; run it as its owner instead")
        }
        if file.isSanitized {
            return Obstacle(
                reason:
                    "\(path) is built with a sanitizer, which brings its own malloc and wants to "
                    + "be loaded first: it runs without the shim, and nothing will be recorded; "
                    + "record a build without -fsanitize", keepsShimOut: true)
        }
        switch file.kind {
        case .dynamic, .script:
            return file.ownMalloc.map { name in
                Obstacle(
                    reason: "\(path) has an allocator linked into it (\(name)), which is called in "
                        + "place of the shim's: what is allocated with it will not be recorded; "
                        + "link the allocator as a library")
            }
        case .staticallyLinked(isGo: true):
            return Obstacle(
                reason:
                    "\(path) is a Go program without cgo: it brings its own heap and no loader, "
                    + "so the shim can't be in it; while it runs, leakprof snapshot PID reads the heap "
                    + "profile that it keeps itself")
        case .staticallyLinked(isGo: false):
            return Obstacle(
                reason: "\(path) is statically linked: there is no loader that could bring in the "
                    + "shim, so nothing will be recorded; link it dynamically")
        case .otherLoader(let loader):
            return Obstacle(
                reason: "\(path) uses another C library (\(loader)); the shim is for glibc, so "
                    + "nothing will be recorded", keepsShimOut: true)
        case .otherArchitecture:
            return Obstacle(
                reason: "\(path) is for another kind of processor than this leakprof, so nothing "
                    + "will be recorded", keepsShimOut: true)
        case .unknown:
            return Obstacle(reason: "\(path) is neither a program nor a script")
        }
    }
}
