import CKernels
import Foundation
import Testing

extension KernelTests {
    /// Kernels that treat rows one by one.
    @Suite struct Rows {
        static let sizes = [1, 2, 15, 16, 17, 31, 32, 33, 80, 100, 1280]

        /// Rows of one of these tests, with a gap after each but the last.
        struct Matrix {
            let rows: Int, size: Int, stride: Int
            let cells: Halves

            init(_ rows: Int, _ size: Int, gap: Int, _ random: inout Random, scale: Float = 1) {
                (self.rows, self.size, stride) = (rows, size, size + gap)
                cells = .normal(Swift.max(0, rows - 1) * stride + size, &random, scale: scale)
            }

            func row(_ index: Int) -> [Double] { (0..<size).map { Double(float(cells[index * stride + $0])) } }
        }

        @Test func norms() {
            var random = Random(21)
            for trial in 0..<66 {
                let size = Self.sizes[trial % Self.sizes.count], rows = Int.random(in: 1...6, using: &random)
                let x = Matrix(rows, size, gap: 3, &random, scale: 3), delta = Matrix(rows, size, gap: 1, &random)
                let weight = Halves.normal(size, &random), bias = Halves.normal(size, &random, atStart: true)
                let hasDelta = trial % 2 == 0, hasBias = trial % 3 == 0, epsilon = 1e-5
                let shares = cuts(rows, &random)
                atEveryLevel { level in
                    let sum = Halves(x.cells.elements), rms = Halves.untouched(rows * size)
                    let layer = Halves.untouched(rows * size), layerSum = Halves.untouched(x.cells.count)
                    for share in shares {
                        // The sum takes the place of x.
                        ck_rms_norm_bf16(
                            sum.pointer, x.stride, hasDelta ? delta.cells.pointer : nil, delta.stride,
                            hasDelta ? sum.pointer : nil, x.stride, weight.pointer, Float(epsilon), rms.pointer, size,
                            size, share.lowerBound, share.upperBound)
                        ck_layer_norm_bf16(
                            x.cells.pointer, x.stride, hasDelta ? delta.cells.pointer : nil, delta.stride,
                            hasDelta ? layerSum.pointer : nil, x.stride, weight.pointer, hasBias ? bias.pointer : nil,
                            Float(epsilon), layer.pointer, size, size, share.lowerBound, share.upperBound)
                    }
                    for row in 0..<rows {
                        var values = x.row(row)
                        if hasDelta {
                            values = zip(values, delta.row(row)).map { Double(rounded(Float($0 + $1))) }
                            for i in 0..<size {
                                #expect(float(sum[row * x.stride + i]) == Float(values[i]), "\(level)")
                                #expect(float(layerSum[row * x.stride + i]) == Float(values[i]), "\(level)")
                            }
                        }
                        let mean = values.reduce(0, +) / Double(size)
                        let square = values.reduce(0) { $0 + $1 * $1 } / Double(size)
                        let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(size)
                        for i in 0..<size {
                            let w = Double(float(weight[i])), b = hasBias ? Double(float(bias[i])) : 0
                            let first = Double(rounded(Float(values[i] / (square + epsilon).squareRoot()))) * w
                            // The inner rounding may go the other way at a tie.
                            #expect(isClose(rms[row * size + i], first, units: 1.6, slack: 0), "\(level) \(size)")
                            let normal = (values[i] - mean) / (variance + epsilon).squareRoot() * w
                            let slack = 1e-5 * (abs(normal) + abs(b) + abs(w))
                            #expect(isClose(layer[row * size + i], normal + b, slack: slack), "\(level) \(size)")
                        }
                    }
                    for row in 0..<(rows - 1) { #expect(sum[row * x.stride + size] == x.cells[row * x.stride + size]) }
                }
            }
        }

        @Test func notANumberStaysInItsRow() {
            var random = Random(22)
            let x = Matrix(3, 50, gap: 0, &random), weight = Halves.normal(50, &random)
            x.cells[70] = bfloat16(.nan)
            atEveryLevel { level in
                let y = Halves.untouched(150), z = Halves.untouched(150)
                ck_rms_norm_bf16(x.cells.pointer, 50, nil, 0, nil, 0, weight.pointer, 1e-6, y.pointer, 50, 50, 0, 3)
                ck_layer_norm_bf16(
                    x.cells.pointer, 50, nil, 0, nil, 0, nil, nil, 1e-6, z.pointer, 50, 50, 0, 3)
                for i in 0..<150 {
                    #expect(float(y[i]).isNaN == (50..<100).contains(i), "\(level)")
                    #expect(float(z[i]).isNaN == (50..<100).contains(i), "\(level)")
                }
            }
        }

        /// A large mean must not eat the variance.
        @Test func layerNormFarFromZero() {
            let x = Halves((0..<64).map { bfloat16(1000 + 8 * Float($0 % 2)) })
            atEveryLevel { level in
                let y = Halves.untouched(64)
                ck_layer_norm_bf16(x.pointer, 64, nil, 0, nil, 0, nil, nil, 1e-6, y.pointer, 64, 64, 0, 1)
                for i in 0..<64 { #expect(float(y[i]) == (i % 2 == 0 ? -1 : 1), "\(level)") }
            }
        }

        static func exact(_ kind: ck_activation, _ x: Double) -> Double {
            switch kind {
            case CK_SILU: x / (1 + exp(-x))
            case CK_GELU: x * 0.5 * erfc(-x * 0.5.squareRoot())
            case CK_GELU_TANH: x / (1 + exp(-2 * (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
            default: x * Double(rounded(Float(1 / (1 + exp(-Double(rounded(Float(x * Double(Float(1.702))))))))))
            }
        }

        /// Every finite bf16 number, and what comes of it.
        @Test(arguments: [CK_SILU.rawValue, CK_GELU.rawValue, CK_GELU_TANH.rawValue, CK_QUICK_GELU.rawValue])
        func activationsOfAllNumbers(kind: UInt32) {
            let all = Halves((0...UInt16.max).map { $0 }.filter { float($0).isFinite })
            let kind = ck_activation(rawValue: kind)
            atEveryLevel { level in
                let y = Halves.untouched(all.count)
                ck_activation_bf16(kind, all.pointer, all.count, nil, 0, y.pointer, all.count, all.count, 0, 1)
                var wrong: [Double] = []
                for i in 0..<all.count {
                    let x = Double(float(all[i])), exact = Self.exact(kind, x)
                    // Near the smallest normal number e^-x overflows and the result becomes zero, as the library's
                    // does. The inner roundings of quick GELU double up.
                    if !isClose(y[i], exact, units: kind == CK_QUICK_GELU ? 1.1 : 0.52, slack: 1e-36) {
                        wrong.append(x)
                    }
                }
                #expect(wrong.isEmpty, "\(level)")
            }
        }

        @Test func activationsOfWhatIsNoNumber() {
            let x = Halves([bfloat16(.nan), bfloat16(.infinity), bfloat16(2)])
            for kind in [CK_SILU, CK_GELU, CK_GELU_TANH, CK_QUICK_GELU] {
                atEveryLevel { level in
                    let y = Halves.untouched(3)
                    ck_activation_bf16(kind, x.pointer, 3, nil, 0, y.pointer, 3, 3, 0, 1)
                    #expect(float(y[0]).isNaN, "\(level)")
                    #expect(float(y[1]) == .infinity, "\(level)")
                    #expect(abs(float(y[2]) - 1.9) < 0.2, "\(level)")
                }
            }
        }

        @Test func activationTimesFactor() {
            var random = Random(23)
            for size in Self.sizes {
                let rows = Int.random(in: 1...5, using: &random)
                let x = Matrix(rows, size, gap: 2, &random), factor = Matrix(rows, size, gap: 5, &random)
                let shares = cuts(rows, &random)
                atEveryLevel { level in
                    // In place of x.
                    let y = Halves(x.cells.elements)
                    for share in shares {
                        ck_activation_bf16(
                            CK_SILU, y.pointer, x.stride, factor.cells.pointer, factor.stride, y.pointer, x.stride,
                            size, share.lowerBound, share.upperBound)
                    }
                    for row in 0..<rows {
                        for (i, (one, other)) in zip(x.row(row), factor.row(row)).enumerated() {
                            let exact = Double(rounded(Float(Self.exact(CK_SILU, one)))) * other
                            #expect(isClose(y[row * x.stride + i], exact, units: 1.6, slack: 1e-38), "\(level)")
                        }
                        if row + 1 < rows {
                            #expect(y[row * x.stride + size] == x.cells[row * x.stride + size], "\(level)")
                        }
                    }
                }
            }
        }

        @Test func rotation() {
            var random = Random(24)
            for half in [1, 3, 15, 16, 17, 32, 40, 64] {
                let tokens = Int.random(in: 1...5, using: &random), heads = Int.random(in: 1...4, using: &random)
                // The last elements of a head stay as they are.
                let headSize = 2 * half + 3, tokenStride = heads * headSize + 7
                let start = Halves.normal((tokens - 1) * tokenStride + heads * headSize, &random)
                let cosine = Singles((0..<tokens * half).map { cos(Float($0)) })
                let sine = Singles((0..<tokens * half).map { sin(Float($0)) }, atStart: true)
                let shares = cuts(tokens, &random)
                atEveryLevel { level in
                    let x = Halves(start.elements), y = Halves.untouched(tokens * heads * headSize)
                    for share in shares {
                        ck_rotary_bf16(
                            start.pointer, tokenStride, headSize, y.pointer, heads * headSize, headSize, heads,
                            headSize,
                            cosine.pointer, sine.pointer, half, half, share.lowerBound, share.upperBound)
                        ck_rotary_bf16(
                            x.pointer, tokenStride, headSize, x.pointer, tokenStride, headSize, heads, headSize,
                            cosine.pointer, sine.pointer, half, half, share.lowerBound, share.upperBound)
                    }
                    var expected = start.elements
                    for token in 0..<tokens {
                        for head in 0..<heads {
                            for i in 0..<half {
                                let at = token * tokenStride + head * headSize + i
                                let first = float(start[at]), second = float(start[at + half])
                                let c = cosine[token * half + i], s = sine[token * half + i]
                                expected[at] = bfloat16(first * c - second * s)
                                expected[at + half] = bfloat16(second * c + first * s)
                            }
                        }
                    }
                    #expect(x.elements == expected, "\(level) \(half)")
                    for token in 0..<tokens {
                        for i in 0..<(heads * headSize) {
                            #expect(y[token * heads * headSize + i] == expected[token * tokenStride + i], "\(level)")
                        }
                    }
                }
            }
        }
    }
}
