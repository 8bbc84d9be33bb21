import CKernels
import Foundation
import Testing

extension KernelTests {
    @Suite struct AdamW {
        @Test(arguments: [1, 15, 16, 17, 1000], [true, false])
        func followsTheDefinition(count: Int, isBfloat16: Bool) {
            var random = Random(31)
            let start = Singles.normal(count, &random), halves = Halves.normal(count, &random)
            let gradients = Singles(halves.elements.map { float($0) }, atStart: true)
            var settings = ck_adamw_settings(
                rate: 0.01, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1, gradientScale: 0.5, step: 0)
            let shares = cuts(count, &random)
            atEveryLevel { level in
                let master = Singles(start.elements), first = Singles([Float](repeating: 0, count: count))
                let second = Singles(first.elements), weights = Halves.untouched(count)
                var exact = start.elements.map { Double($0) }
                var m = [Double](repeating: 0, count: count), v = m
                for step in 1...3 {
                    settings.step = Double(step)
                    for share in shares {
                        ck_adamw(
                            master.pointer, isBfloat16 ? UnsafeRawPointer(halves.pointer) : .init(gradients.pointer),
                            isBfloat16, first.pointer, second.pointer, weights.pointer, &settings, share.lowerBound,
                            share.upperBound)
                    }
                    for i in 0..<count {
                        let g = Double(gradients[i]) * 0.5
                        m[i] = 0.9 * m[i] + 0.1 * g
                        v[i] = 0.99 * v[i] + 0.01 * g * g
                        let root = (v[i] / (1 - pow(0.99, settings.step))).squareRoot()
                        exact[i] -= 0.01 * 0.1 * exact[i]
                        exact[i] -= 0.01 * m[i] / (1 - pow(0.9, settings.step)) / (root + 1e-8)
                    }
                }
                for i in 0..<count {
                    #expect(abs(Double(master[i]) - exact[i]) < 1e-6 * (1 + abs(exact[i])), "\(level)")
                    #expect(abs(Double(first[i]) - m[i]) < 1e-6, "\(level)")
                    #expect(abs(Double(second[i]) - v[i]) < 1e-6, "\(level)")
                    #expect(weights[i] == bfloat16(master[i]), "\(level)")
                }
            }
        }

        @Test func norms() {
            var random = Random(32)
            for count in [0, 1, 17, 65_536, 65_537, 200_000] {
                let values = Singles.normal(count, &random)
                let exact = values.elements.reduce(0.0) { $0 + Double($1) * Double($1) }
                let blocks = ck_square_sum_count(count), shares = cuts(blocks, &random)
                atEveryLevel { level in
                    let sums = Guarded([Double](repeating: -1, count: blocks))
                    for share in shares {
                        ck_square_sums_f32(values.pointer, count, sums.pointer, share.lowerBound, share.upperBound)
                    }
                    #expect(abs(sums.elements.reduce(0, +) - exact) <= 1e-6 * exact, "\(level) \(count)")
                }
            }
        }
    }
}
