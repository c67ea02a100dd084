// swift-tools-version: 6.2
import PackageDescription

/// What every target written in Swift is compiled with.
let swiftSettings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

/// What the code inside the target process is compiled with.
///
/// Optimized in debug builds as well: it runs in front of every malloc, and its use of the stack is
/// part of what is tested. DWARF 4, because valgrind 3.19 gives up on programs that have clang's DWARF 5
/// in them.
let shimSettings: [CSetting] = [
    .unsafeFlags([
        "-std=c17", "-D_GNU_SOURCE", "-O2", "-gdwarf-4", "-fvisibility=hidden",
        "-ftls-model=initial-exec", "-fno-plt", "-fomit-frame-pointer", "-Wall", "-Wextra",
        "-Wshadow",
        "-Wstrict-prototypes", "-Wvla",
    ])
]

/// What makes libleakshim.so need libc.so.6 and nothing else (ShimHygieneTests).
///
/// SwiftPM links every dynamic library with swiftc, which would add libswiftCore and a start file
/// that needs it; Embedded as a linker setting leaves both out. libgcc's unwinder becomes part of the
/// library.
let shimLinkerSettings: [LinkerSetting] = [
    .unsafeFlags([
        "-enable-experimental-feature", "Embedded", "-nostartfiles",
        "-Xlinker", "-soname=libleakshim.so",
        "-Xlinker", "-l:libgcc_eh.a",
        "-Xlinker", "--version-script=\(Context.packageDirectory)/CShim/Interpose/exports.map",
        "-Xlinker", "-z", "-Xlinker", "now",
        // Its constructor runs before those of the libraries that the program needs.
        "-Xlinker", "-z", "-Xlinker", "initfirst",
    ])
]

let package = Package(
    name: "leakprof",
    products: [
        .executable(name: "leakprof", targets: ["leakprof"]),
        .library(name: "leakshim", type: .dynamic, targets: ["CLeakprofInterpose"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
        // Without its Foundation streams, which nothing here uses.
        .package(url: "https://github.com/apple/swift-protobuf.git", from: "1.39.0", traits: []),
        .package(url: "https://github.com/apple/swift-system.git", from: "1.8.1"),
        // For tests alone.
        .package(
            url: "https://github.com/swiftlang/swift-subprocess.git", from: "1.0.2", traits: []),
    ],
    targets: [
        // The target process. CShim/Recorder defines no malloc, so tests can link it.
        .target(name: "CLeakprofLayout", path: "CShim/Layout"),
        .target(
            name: "CLeakprofRecorder", dependencies: ["CLeakprofLayout"], path: "CShim",
            sources: ["Recorder", "Runtimes"], publicHeadersPath: "Recorder/include",
            cSettings: shimSettings + [.headerSearchPath("Runtimes/include")]),
        .target(
            name: "CLeakprofInterpose", dependencies: ["CLeakprofRecorder"],
            path: "CShim/Interpose", exclude: ["exports.map"],
            cSettings: shimSettings + [.headerSearchPath("../Runtimes/include")],
            linkerSettings: shimLinkerSettings),

        // System libraries.
        .systemLibrary(name: "CElfutils", pkgConfig: "libdw", providers: [.apt(["libdw-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        // For its header; the library is loaded when a URL is read.
        .systemLibrary(name: "CCurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .target(name: "CDemanglers", linkerSettings: [.linkedLibrary("iberty")]),
        .systemLibrary(name: "CLinux"),

        // The analyzer, in the direction data flows.
        .target(name: "LeakprofModel", swiftSettings: swiftSettings),
        .target(
            name: "LeakprofPprof",
            dependencies: [
                "LeakprofModel", "CZlib",
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            exclude: ["profile.proto"], swiftSettings: swiftSettings),
        .target(
            name: "LeakprofFormats", dependencies: ["LeakprofModel", "LeakprofPprof"],
            swiftSettings: swiftSettings),
        .target(
            name: "LeakprofCapture",
            dependencies: [
                "LeakprofModel", "LeakprofPprof", "LeakprofFormats", "CLeakprofLayout", "CCurl",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: swiftSettings),
        .target(
            name: "LeakprofSymbols", dependencies: ["LeakprofModel", "CElfutils", "CDemanglers"],
            swiftSettings: swiftSettings),
        .target(
            name: "LeakprofAnalysis", dependencies: ["LeakprofModel"], swiftSettings: swiftSettings),
        .target(
            name: "LeakprofReport", dependencies: ["LeakprofModel", "LeakprofAnalysis"],
            resources: [
                .embedInCode("Assets/flamegraph.css"), .embedInCode("Assets/flamegraph.js"),
                .embedInCode("Assets/report.css"), .embedInCode("Assets/report.js"),
            ],
            swiftSettings: swiftSettings),
        .executableTarget(
            name: "leakprof",
            dependencies: [
                "LeakprofModel", "LeakprofCapture", "LeakprofSymbols", "LeakprofPprof",
                "LeakprofAnalysis", "LeakprofReport", "CLinux",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: swiftSettings),

        // Tests, one folder per target; EndToEndTests run the products.
        .target(
            name: "LeakprofTestSupport",
            dependencies: [
                "LeakprofModel", "LeakprofPprof",
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            path: "Tests/LeakprofTestSupport", swiftSettings: swiftSettings),
        // What `make fuzz` calls; tests replay the inputs it is worth keeping.
        .target(
            name: "LeakprofFuzzing",
            dependencies: [
                "CLeakprofRecorder", "CLeakprofLayout", "LeakprofModel", "LeakprofCapture",
                "LeakprofSymbols", "LeakprofPprof", "LeakprofFormats", "LeakprofAnalysis",
                "LeakprofReport",
            ],
            path: "Fuzz/Entries", swiftSettings: swiftSettings),
        tests(
            "RecorderTests",
            ["CLeakprofRecorder", "CLeakprofLayout", "LeakprofCapture", "LeakprofModel"]),
        tests(
            "FuzzInputTests",
            ["LeakprofFuzzing", "LeakprofCapture", "LeakprofModel", "CLeakprofLayout"]),
        tests("LeakprofModelTests", ["LeakprofModel"]),
        tests("LeakprofPprofTests", ["LeakprofPprof", "LeakprofModel"]),
        tests("LeakprofFormatsTests", ["LeakprofFormats", "LeakprofPprof", "LeakprofModel"]),
        tests("LeakprofCaptureTests", ["LeakprofCapture", "LeakprofModel", "CLeakprofLayout"]),
        tests("LeakprofSymbolsTests", ["LeakprofSymbols", "LeakprofModel"]),
        tests("LeakprofAnalysisTests", ["LeakprofAnalysis", "LeakprofModel"]),
        tests(
            "LeakprofReportTests", ["LeakprofReport", "LeakprofAnalysis", "LeakprofModel"],
            golden: true),
        tests(
            "EndToEndTests",
            [
                "LeakprofModel", "LeakprofPprof", "LeakprofFormats", "LeakprofAnalysis",
                "LeakprofCapture",
            ],
            golden: true),
    ]
)

/// A folder of tests; its expected outputs, if it has any, lie in Golden/.
func tests(
    _ name: String, _ dependencies: [Target.Dependency], golden: Bool = false
) -> Target {
    .testTarget(
        name: name, dependencies: dependencies + ["LeakprofTestSupport"],
        exclude: golden ? ["Golden"] : [], swiftSettings: swiftSettings)
}

// The fuzzer itself has no main(): libFuzzer brings one, if `make fuzz` links it.
if Context.environment["LEAKPROF_FUZZ"] != nil {
    package.targets.append(
        .executableTarget(
            name: "leakprof-fuzz", dependencies: ["LeakprofFuzzing"], path: "Fuzz/Driver"))
}
