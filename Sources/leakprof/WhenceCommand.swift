internal import ArgumentParser
internal import LeakprofAnalysis
internal import LeakprofCapture
internal import LeakprofModel
internal import LeakprofReport

struct WhenceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "whence",
        abstract: "Show where a live block was allocated.",
        discussion: """
            leakprof whence 4711 0x55d0c8a012a0

            The address is that of the block's first byte, as malloc returned it. Recorded exactly, every live
            block is known; sampled, some are. The process answers when it allocates next.
            """)

    @Argument(help: "A running process under the shim: its ID, or its name.")
    var source: String

    @Argument(help: "The address, hexadecimal with 0x or decimal.")
    var address: String

    @OptionGroup var symbols: SymbolOptions

    /// Seconds to wait for an answer.
    private static let patience = 3.0

    func validate() throws { _ = try number() }

    private func number() throws -> UInt64 {
        let isHexadecimal = address.lowercased().hasPrefix("0x")
        let digits = isHexadecimal ? address.dropFirst(2) : address[...]
        guard let number = UInt64(digits, radix: isHexadecimal ? 16 : 10) else {
            throw ValidationError("\(address) is not an address")
        }
        return number
    }

    func run() throws {
        let reader = SourceReader(symbols: symbols)
        let block: Snapshot?
        do {
            let source = try Source.resolve(source, directory: Console.environment("LEAKPROF_DIR"))
            block = try reader.block(at: try number(), of: source, patience: Self.patience)
        } catch let error as CaptureError {
            throw Failure(error)
        }
        guard let block else {
            throw Failure(
                "\(address): no recorded block that is live begins there: it may be freed, older than the "
                    + "recording, not sampled, or the address of something within a block",
                try: "leakprof top \(source)")
        }
        Console.result(TextReport().lines(ofBlock: block, at: address))
    }
}
