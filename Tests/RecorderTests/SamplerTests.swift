import CLeakprofRecorder
import Glibc
import Testing

@Suite struct SamplerTests {
    @Test func `logarithm and exponential are as precise as libm's`() {
        for exponent in stride(from: -36.0, through: 0, by: 0.01) {
            let u = exp(exponent)
            #expect(abs(lp_negative_log(u) - -log(u)) <= 1e-12 * abs(log(u)) + 1e-300)
        }
        for exponent in stride(from: -30.0, through: 4, by: 0.01) {
            let x = exp(exponent)
            #expect(abs(lp_one_minus_exp(x) - -expm1(-x)) <= 1e-12 * -expm1(-x))
        }
        #expect(lp_negative_log(1) == 0)
        #expect(lp_one_minus_exp(0) == 0)
        #expect(lp_one_minus_exp(1000) == 1)
    }

    @Test func `everything is taken without an interval`() {
        var source = lp_random_source(seed: 1, streams: 0)
        for size: UInt64 in [0, 1, 1 << 40] { #expect(lp_sampler_takes(size, 0, &source)) }
        let weight = lp_weight_of(100, 0)
        #expect(weight.extra_objects == 0 && weight.extra_bytes == 0)
    }

    @Test(arguments: [UInt64(0), 16, 1000, 65536, 1 << 20, 1 << 47])
    func `the weight is the inverse of the probability`(size: UInt64) {
        let interval: UInt64 = 65536
        let length = Double(max(size, 1))
        let probability = -expm1(-length / Double(interval))

        let weight = lp_weight_of(size, interval)

        let objects = 1 + Double(weight.extra_objects) / 256
        #expect(abs(objects - 1 / probability) <= 1.0 / 512 + 1e-9 / probability)
        let bytes = Double(size) + Double(weight.extra_bytes)
        #expect(abs(bytes - Double(size) / probability) <= 0.5 + 1e-9 * bytes)
    }

    @Test func `a share of blocks is taken as large as the probability`() {
        let interval: UInt64 = 4096
        var source = lp_random_source(seed: 7, streams: 0)
        for size: UInt64 in [1, 100, 4096, 20000] {
            let trials = 400_000
            let taken = (0..<trials).count { _ in lp_sampler_takes(size, interval, &source) }

            let probability = -expm1(-Double(size) / Double(interval))
            let deviation = (Double(trials) * probability * (1 - probability)).squareRoot()
            #expect(abs(Double(taken) - Double(trials) * probability) < 5 * deviation + 1)
        }
    }

    @Test func `the variance of the largest interval fits`() {
        let weight = lp_weight_of(1 << 20, 1 << 30)
        #expect(weight.variance_bytes > 1 << 59)
        #expect(weight.variance_bytes < 1 << 61)
    }
}
