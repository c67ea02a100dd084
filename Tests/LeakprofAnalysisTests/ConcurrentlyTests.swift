import LeakprofAnalysis
import Testing

@Suite struct ConcurrentlyTests {
    @Test func `both results come back, each from its own work`() {
        let numbers = Array(1...1000)
        let (sum, product) = concurrently({ numbers.reduce(0, +) }) {
            numbers.reduce(1) { $0 * $1 % 1_000_003 }
        }
        #expect(sum == 500_500)
        #expect(product == numbers.reduce(1) { $0 * $1 % 1_000_003 })
    }

    @Test func `the second thread's stack is as deep as a tree may be`() {
        @Sendable func depth(_ left: Int) -> Int {
            left == 0
                ? 0
                : 1
                    + withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 8) { _ in
                        depth(left - 1)
                    }
        }
        let (_, deep) = concurrently({ 0 }) { depth(2000) }
        #expect(deep == 2000)
    }
}
