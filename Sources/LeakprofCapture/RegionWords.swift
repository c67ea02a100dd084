internal import CLeakprofLayout
internal import LeakprofModel

/// What the numbers in a region are called in reports.
enum RegionWords {
    static func mode(_ mode: UInt32) -> String {
        switch mode {
        case UInt32(LP_MODE_AUTO): "auto"
        case UInt32(LP_MODE_EXACT): "exact"
        case UInt32(LP_MODE_SAMPLED): "sampled"
        default: "unknown"
        }
    }

    static func offReason(_ reason: UInt32) -> String {
        switch reason {
        case UInt32(LP_OFF_NO_WIPE_ON_FORK): "the kernel is older than Linux 4.14"
        case UInt32(LP_OFF_NO_UNWINDER): "the loader can't say where code lies"
        case UInt32(LP_OFF_OTHER_SHIM): "another copy of libleakshim.so records this process"
        case UInt32(LP_OFF_DIRECTORY):
            "the recording directory is missing, belongs to someone else, or is open to others"
        case UInt32(LP_OFF_NO_SPACE): "the recording directory has no room for a region"
        case UInt32(LP_OFF_FILE): "the region's file could not be created"
        case UInt32(LP_OFF_NOT_FOLLOWED): "it is a forked child, and LEAKPROF_FOLLOW=0"
        case UInt32(LP_OFF_NO_TIME): "/proc does not tell when the process started"
        case UInt32(LP_OFF_CONFINED):
            "it is a forked child of a process that gave up system calls (seccomp)"
        default: "unknown reason \(reason)"
        }
    }

    static func epochReason(_ reason: UInt32) -> String {
        switch reason {
        case UInt32(LP_EPOCH_START): "start"
        case UInt32(LP_EPOCH_REQUEST): "snapshot"
        default: "clock"
        }
    }

    /// The statistics that are counts of events, by name.
    static let statistics: [(index: Int32, name: String)] = [
        (LP_STAT_EARLY, "early_allocations"),
        (LP_STAT_NESTED, "nested_allocations"),
        (LP_STAT_UNKNOWN_FREES, "unknown_frees"),
        (LP_STAT_REPLACED, "replaced_blocks"),
        (LP_STAT_DROPPED_MEMORY, "dropped_no_memory"),
        (LP_STAT_DROPPED_MEMORY_BYTES, "dropped_no_memory_bytes"),
        (LP_STAT_DROPPED_COUNTERS, "dropped_no_counter"),
        (LP_STAT_DROPPED_COUNTERS_BYTES, "dropped_no_counter_bytes"),
        (LP_STAT_UNREPRESENTABLE, "dropped_unrepresentable"),
        (LP_STAT_STACKS_LOST, "stacks_lost"),
        (LP_STAT_TRUNCATED_DEPTH, "stacks_cut_at_depth"),
        (LP_STAT_TRUNCATED_UNWIND, "stacks_cut_at_unwind"),
        (LP_STAT_MODULES_LOST, "modules_lost"),
        (LP_STAT_CODES_LOST, "python_functions_lost"),
        (LP_STAT_EPOCHS_LOST, "epochs_lost"),
        (LP_STAT_EPOCHS_MERGED, "epochs_merged"),
        (LP_STAT_THINNED, "thinned_blocks"),
        (LP_STAT_COPIES_WRITTEN, "copies_written"),
        (LP_STAT_COPIES_FAILED, "copies_failed"),
        (LP_STAT_CONFIG_ERRORS, "configuration_errors"),
    ]

    /// The environment variables whose values were not understood.
    static func configurationErrors(_ bits: UInt64) -> [String] {
        let variables: [(Int32, String)] = [
            (LP_CONFIG_ERROR_MODE, "LEAKPROF_MODE"),
            (LP_CONFIG_ERROR_INTERVAL, "LEAKPROF_INTERVAL"),
            (LP_CONFIG_ERROR_DEPTH, "LEAKPROF_DEPTH"),
            (LP_CONFIG_ERROR_MAX_MEMORY, "LEAKPROF_MAX_MEMORY"),
            (LP_CONFIG_ERROR_REGION_SIZE, "LEAKPROF_REGION_SIZE"),
            (LP_CONFIG_ERROR_SIGNAL, "LEAKPROF_SIGNAL"),
            (LP_CONFIG_ERROR_FOLLOW, "LEAKPROF_FOLLOW"),
            (LP_CONFIG_ERROR_DIR, "LEAKPROF_DIR"),
            (LP_CONFIG_ERROR_SEED, "LEAKPROF_SEED"),
            (LP_CONFIG_ERROR_KEEP, "LEAKPROF_KEEP"),
            (LP_CONFIG_ERROR_OVERHEAD, "LEAKPROF_OVERHEAD"),
            (LP_CONFIG_ERROR_PAUSED, "LEAKPROF_PAUSED"),
            (LP_CONFIG_ERROR_PYTHON, "LEAKPROF_PYTHON"),
        ]
        return variables.filter { bits & UInt64($0.0) != 0 }.map(\.1)
    }
}

/// The lines of `leakprof inspect`.
struct RegionInspection {
    let tables: RegionTables

    var lines: [(name: String, value: String)] {
        let header = tables.header
        let raw = header.raw
        var lines: [(name: String, value: String)] = [
            ("layout", "\(raw.layout_version) (\(raw.layout_signature))"),
            ("region bytes", "\(raw.region_bytes)"),
            ("pid", "\(raw.pid)"),
            ("start ticks", "\(raw.start_ticks)"),
            ("pid namespace", "\(raw.pid_namespace)"),
            ("image", String(raw.image_nonce, radix: 16)),
            ("forked from", "\(raw.forked_from)"),
            ("mode", RegionWords.mode(raw.mode)),
            ("depth", "\(raw.max_depth)"),
            ("interval", intervalInForce),
            ("recording cost", share(raw.recording_ppm)),
            ("max memory", "\(raw.max_memory_bytes)"),
            ("state", stateName),
            ("epoch", "\(raw.epoch) of \(header.epochs.capacity)"),
            ("modules", use(raw.modules_used, header.modules)),
            ("strings", use(raw.strings_used, header.strings)),
            ("stack nodes", use(raw.nodes_used, header.nodes)),
            ("counters", use(raw.counters_used, header.counters)),
            ("heap", "\(Int(raw.heap_used) * 8) bytes"),
            ("python", python),
            ("live table bytes", "\(tables.statistic(LP_STAT_LIVE_TABLE_BYTES))"),
            ("early arena bytes", "\(tables.statistic(LP_STAT_EARLY_BYTES))"),
        ]
        for (index, name) in RegionWords.statistics where index != LP_STAT_CONFIG_ERRORS {
            lines.append((name.replacing("_", with: " "), "\(tables.statistic(index))"))
        }
        let errors = RegionWords.configurationErrors(tables.statistic(LP_STAT_CONFIG_ERRORS))
        lines.append(("not understood", errors.isEmpty ? "none" : errors.joined(separator: ", ")))
        for (number, module) in tables.modules.enumerated().dropFirst()
        where module.published == 1 {
            let path = tables.string(at: module.path_off, length: module.path_length)
            let range = String(module.start, radix: 16) + "-" + String(module.end, radix: 16)
            let id = tables.bytes(at: module.build_id_off, length: module.build_id_length).hex
            let replaced = module.replaced_by == 0 ? "" : " replaced by \(module.replaced_by)"
            lines.append(("module \(number)", "\(range) \(path) \(id)\(replaced)"))
        }
        return lines
    }

    private func use(_ count: UInt32, _ table: RegionHeader.Table) -> String {
        "\(tables.header.used(count, of: table)) of \(table.capacity)"
    }

    private var python: String {
        guard let facts = PythonFacts(header: tables.header.raw, interpreter: nil) else {
            return "none"
        }
        let parts = [
            facts.hasFrames ? "frames" : "no frames: its layout is not known",
            facts.hasAllocators ? "allocators" : "no allocators",
        ]
        return "\(facts.version) (\(parts.joined(separator: ", ")))"
    }

    private var intervalInForce: String {
        let index = Int(tables.header.raw.interval_index)
        let interval = tables.intervals.indices.contains(index) ? tables.intervals[index] : 0
        return interval == 0 ? "0 (every block)" : "\(interval)"
    }

    /// Of the process's CPU time, as auto mode measured it; it does not in other modes.
    private func share(_ ppm: UInt32) -> String {
        guard tables.header.raw.mode == UInt32(LP_MODE_AUTO) else { return "not measured" }
        return "\(ppm / 10000).\(ppm % 10000 / 1000) % of CPU time"
    }

    private var stateName: String {
        let raw = tables.header.raw
        return switch raw.state {
        case UInt32(LP_STATE_STARTING): "starting"
        case UInt32(LP_STATE_RECORDING): "recording"
        case UInt32(LP_STATE_OFF): "off: " + RegionWords.offReason(raw.off_reason)
        case UInt32(LP_STATE_ENDED): "ended"
        case UInt32(LP_STATE_PAUSED): "paused"
        default: "unknown \(raw.state)"
        }
    }
}
