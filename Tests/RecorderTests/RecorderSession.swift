import CLeakprofLayout
import CLeakprofRecorder
import Glibc
import LeakprofCapture
import LeakprofModel
import LeakprofTestSupport

/// The recorder in this test process.
///
/// It can be started once, so all tests of it share one region and tell their blocks apart by stacks of
/// their own. Sampled, so that both exact and weighted sums are in it.
enum RecorderSession {
    static let interval: UInt64 = 65536

    /// Given up at the end of the process, where nothing static is.
    nonisolated(unsafe) private static var directory = try? TemporaryDirectory()

    /// The region, once recording has begun.
    static let region: Region = {
        var config = lp_config()
        config.mode = UInt32(LP_MODE_SAMPLED)
        config.depth = 128
        config.interval_bytes = interval
        config.max_memory_bytes = 256 << 20
        config.region_bytes = 64 << 20
        config.seed = 20_261_121
        config.follow_fork = true
        config.start = true
        let path = directory?.path ?? ""
        withUnsafeMutableBytes(of: &config.directory) { bytes in
            bytes.copyBytes(from: path.utf8.prefix(bytes.count - 1))
        }
        lp_recorder_start(&config)
        atexit { RecorderSession.directory = nil }
        let name = Files.names(in: path).first ?? ""
        return Region(path: "\(path)/\(name)")
    }()

    /// Frames for a stack that no other test uses; leaf first.
    static func stack(_ owner: UInt64, _ site: UInt64) -> [UInt64] {
        [0x10_0000 + site * 16, 0x20_0000 + owner * 16, 0x30_0000]
    }

    /// The samples whose second frame is that of `owner`, by site.
    static func samples(of owner: UInt64, in snapshot: Snapshot) -> [UInt64: Sample] {
        var samples: [UInt64: Sample] = [:]
        for sample in snapshot.samples where sample.stack.count == 3 {
            let addresses = sample.stack.map { snapshot.locations[$0].address + 1 }
            guard addresses[1] == 0x20_0000 + owner * 16 else { continue }
            samples[(addresses[0] - 0x10_0000) / 16] = sample
        }
        return samples
    }
}

/// Runs `body` on a thread that is made for it and ends with it.
func onNewThread(_ body: @escaping @Sendable () -> Void) {
    final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    let status = pthread_create(
        &thread, nil,
        { argument in
            guard let argument else { return nil }
            Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body()
            return nil
        }, Unmanaged.passRetained(Box(body)).toOpaque())
    precondition(status == 0, "no thread could be made")
    pthread_join(thread, nil)
}
