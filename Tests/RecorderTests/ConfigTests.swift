import CLeakprofLayout
import CLeakprofRecorder
import Glibc
import Testing

/// Parses variables the way the shim does.
private func parse(_ variables: [String]) -> lp_config {
    var pointers: [UnsafePointer<CChar>?] = variables.map { UnsafePointer(strdup($0)) }
    pointers.append(nil)
    defer { for pointer in pointers { free(UnsafeMutablePointer(mutating: pointer)) } }
    var config = lp_config()
    lp_config_parse(&pointers, &config)
    return config
}

@Suite struct ConfigTests {
    @Test func `defaults are those of the command line's documentation`() {
        let config = parse(["HOME=/", "LEAKPROFX=1"])

        #expect(config.mode == UInt32(LP_MODE_AUTO))
        #expect(config.overhead_ppm == 30000)
        #expect(config.depth == 128)
        #expect(config.interval_bytes == 512 << 10)
        #expect(config.max_memory_bytes == 256 << 20)
        #expect(config.region_bytes == 16 << 20)
        #expect(config.signal == __libc_current_sigrtmin() + 7)
        #expect(config.follow_fork && config.start && !config.keep)
        #expect(config.errors == 0)
    }

    @Test(arguments: [
        ("4096", UInt64(4096)), ("64KiB", 65536), ("64K", 65536), ("64kb", 65536),
        ("1MiB", 1 << 20),
        ("1g", 1 << 30), ("100B", 100),
    ])
    func `sizes are read in every usual spelling`(text: String, bytes: UInt64) {
        #expect(parse(["LEAKPROF_INTERVAL=\(text)"]).interval_bytes == bytes)
    }

    @Test(arguments: [("3", UInt32(30000)), ("0.5", 5000), ("0.0001", 1), ("100", 1_000_000)])
    func `percentages are read in millionths`(text: String, ppm: UInt32) {
        let config = parse(["LEAKPROF_OVERHEAD=\(text)"])
        #expect(config.overhead_ppm == ppm)
        #expect(config.errors == 0)
    }

    @Test(arguments: [
        ("LEAKPROF_INTERVAL=", LP_CONFIG_ERROR_INTERVAL),
        ("LEAKPROF_INTERVAL=12 apples", LP_CONFIG_ERROR_INTERVAL),
        ("LEAKPROF_INTERVAL=99999999999999999999", LP_CONFIG_ERROR_INTERVAL),
        ("LEAKPROF_INTERVAL=2GiB", LP_CONFIG_ERROR_INTERVAL),
        ("LEAKPROF_MODE=quick", LP_CONFIG_ERROR_MODE),
        ("LEAKPROF_OVERHEAD=0", LP_CONFIG_ERROR_OVERHEAD),
        ("LEAKPROF_OVERHEAD=101", LP_CONFIG_ERROR_OVERHEAD),
        ("LEAKPROF_OVERHEAD=3%", LP_CONFIG_ERROR_OVERHEAD),
        ("LEAKPROF_DEPTH=129", LP_CONFIG_ERROR_DEPTH),
        ("LEAKPROF_DEPTH=0", LP_CONFIG_ERROR_DEPTH),
        ("LEAKPROF_REGION_SIZE=4K", LP_CONFIG_ERROR_REGION_SIZE),
        ("LEAKPROF_MAX_MEMORY=lots", LP_CONFIG_ERROR_MAX_MEMORY),
        ("LEAKPROF_SIGNAL=SIGSEGV", LP_CONFIG_ERROR_SIGNAL),
        ("LEAKPROF_SIGNAL=SIGRTMIN+70", LP_CONFIG_ERROR_SIGNAL),
        ("LEAKPROF_FOLLOW=yes", LP_CONFIG_ERROR_FOLLOW),
        ("LEAKPROF_PAUSED=yes", LP_CONFIG_ERROR_PAUSED),
        ("LEAKPROF_KEEP=parent=", LP_CONFIG_ERROR_KEEP),
        ("LEAKPROF_SEED=x", LP_CONFIG_ERROR_SEED),
        ("LEAKPROF_DIR=relative", LP_CONFIG_ERROR_DIR),
        ("LEAKPROF_DIR=/" + String(repeating: "x", count: 600), LP_CONFIG_ERROR_DIR),
    ])
    func `what is not understood leaves the default and is noted`(entry: String, error: Int32) {
        let config = parse([entry])

        #expect(config.errors == UInt32(error))
        #expect(config.interval_bytes == 512 << 10)
        #expect(config.depth == 128)
        #expect(config.start)
    }

    @Test func `signals are read by name and number`() {
        #expect(parse(["LEAKPROF_SIGNAL=SIGRTMIN+3"]).signal == __libc_current_sigrtmin() + 3)
        #expect(parse(["LEAKPROF_SIGNAL=RTMIN"]).signal == __libc_current_sigrtmin())
        #expect(parse(["LEAKPROF_SIGNAL=50"]).signal == 50)
        #expect(parse(["LEAKPROF_SIGNAL=0"]).signal == 0)
    }

    @Test func `the region is kept for the parent that asked`() {
        #expect(parse(["LEAKPROF_KEEP=1"]).keep)
        #expect(parse(["LEAKPROF_KEEP=parent=\(getppid())"]).keep)
        #expect(!parse(["LEAKPROF_KEEP=parent=1\(getppid())"]).keep)
        #expect(!parse(["LEAKPROF_MODE=off"]).start)
    }
}
