// swift-tools-version: 6.1
import PackageDescription

let shimSettings: [CSetting] = [
    .unsafeFlags([
        "-std=c17", "-D_GNU_SOURCE", "-O2", "-g", "-fvisibility=hidden", "-ftls-model=initial-exec", "-fno-plt",
        "-fno-omit-frame-pointer", "-Wall", "-Wextra", "-Wshadow", "-Wstrict-prototypes", "-Wvla",
    ]),
]

let package = Package(
    name: "leakprof",
    products: [
        .library(name: "leakshim", type: .dynamic, targets: ["CLeakprofInterpose"]),
    ],
    targets: [
        .target(name: "CLeakprofLayout", path: "CShim/Layout"),
        .target(name: "CLeakprofRecorder", dependencies: ["CLeakprofLayout"], path: "CShim/Recorder", cSettings: shimSettings),
        .target(name: "CLeakprofInterpose", dependencies: ["CLeakprofRecorder"], path: "CShim/Interpose", exclude: ["exports.map"], cSettings: shimSettings + [.define("LEAKSHIM_VERSION", to: "\"0.1.0\"")],
          linkerSettings: [.unsafeFlags(["-enable-experimental-feature", "Embedded", "-nostartfiles", "-Xlinker", "-l:libgcc_eh.a", "-Xlinker", "--version-script=\(Context.packageDirectory)/CShim/Interpose/exports.map", "-Xlinker", "-z", "-Xlinker", "now"])]),
    ]
)
