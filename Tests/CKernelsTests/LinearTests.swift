import CKernels
import Foundation
import Testing

extension KernelTests {
    @Suite struct Linear {
        static let sizes = [1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 64, 100]

        @Test func bfloat16AgainstDoubles() throws {
            var random = Random(1)
            for trial in 0..<60 {
                let rows = trial < 20 ? trial + 1 : Int.random(in: 1...20, using: &random)
                let inputs = try #require(Self.sizes.randomElement(using: &random)) * (trial % 5 == 0 ? 7 : 1)
                let outputs = try #require(Self.sizes.randomElement(using: &random))
                let gap = Int.random(in: 0...3, using: &random)
                // Strided rows end with the last element, not with its gap.
                let x = Halves.normal((rows - 1) * (inputs + gap) + inputs, &random, atStart: trial % 2 == 0)
                let weight = Halves.normal((outputs - 1) * (inputs + gap) + inputs, &random)
                let bias = trial % 3 == 0 ? Halves.normal(outputs, &random) : nil
                let shares = cuts(outputs, &random)
                atEveryLevel { level in
                    let y = Halves.untouched((rows - 1) * (outputs + gap) + outputs)
                    let whole = Halves.untouched(rows * outputs)
                    for share in shares {
                        ck_linear_bf16(
                            x.pointer, inputs + gap, weight.pointer, inputs + gap, bias?.pointer, y.pointer,
                            outputs + gap, rows, inputs, share.lowerBound, share.upperBound)
                    }
                    ck_linear_bf16(
                        x.pointer, inputs + gap, weight.pointer, inputs + gap, bias?.pointer, whole.pointer, outputs,
                        rows, inputs, 0, outputs)
                    for m in 0..<rows {
                        for n in 0..<outputs {
                            var exact = bias.map { Double(float($0[n])) } ?? 0, size = 0.0
                            for k in 0..<inputs {
                                let product =
                                    Double(float(x[m * (inputs + gap) + k]))
                                    * Double(float(weight[n * (inputs + gap) + k]))
                                exact += product
                                size += abs(product)
                            }
                            let value = y[m * (outputs + gap) + n]
                            #expect(
                                isClose(value, exact, slack: size * 1e-6), "\(level) \(rows)x\(inputs)x\(outputs)")
                            #expect(value == whole[m * outputs + n], "\(level): a share changed a bit")
                        }
                        for n in 0..<gap where m + 1 < rows { #expect(y[m * (outputs + gap) + outputs + n] == 0x5A5A) }
                    }
                }
            }
        }

        @Test func singleAgainstDoubles() throws {
            var random = Random(2)
            for trial in 0..<40 {
                let rows = trial < 20 ? trial + 1 : Int.random(in: 1...20, using: &random)
                let inputs = try #require(Self.sizes.randomElement(using: &random))
                let outputs = try #require(Self.sizes.randomElement(using: &random))
                let x = Singles.normal(rows * inputs, &random, atStart: trial % 2 == 0)
                let weight = Singles.normal(outputs * inputs, &random)
                let bias = Singles.normal(outputs, &random)
                let shares = cuts(outputs, &random)
                atEveryLevel { level in
                    let y = Singles.untouched(rows * outputs), whole = Singles.untouched(rows * outputs)
                    for share in shares {
                        ck_linear_f32(
                            x.pointer, inputs, weight.pointer, inputs, bias.pointer, y.pointer, outputs, rows, inputs,
                            share.lowerBound, share.upperBound)
                    }
                    ck_linear_f32(
                        x.pointer, inputs, weight.pointer, inputs, bias.pointer, whole.pointer, outputs, rows, inputs,
                        0, outputs)
                    #expect(y.elements == whole.elements, "\(level): a share changed a bit")
                    for m in 0..<rows {
                        for n in 0..<outputs {
                            var exact = Double(bias[n]), size = abs(exact)
                            for k in 0..<inputs {
                                let product = Double(x[m * inputs + k]) * Double(weight[n * inputs + k])
                                exact += product
                                size += abs(product)
                            }
                            #expect(abs(Double(y[m * outputs + n]) - exact) <= size * 1e-6, "\(level)")
                        }
                    }
                }
            }
        }

        /// A row must not feel who sits beside it: batched decoding gives what single decoding gives.
        @Test func rowsDoNotDependOnTheirNumber() {
            var random = Random(3)
            let inputs = 200, outputs = 37, most = 19
            let x = Halves.normal(most * inputs, &random), weight = Halves.normal(outputs * inputs, &random)
            atEveryLevel { level in
                var alone: [UInt16] = []
                for m in 0..<most {
                    let y = Halves.untouched(outputs)
                    ck_linear_bf16(
                        x.pointer + m * inputs, inputs, weight.pointer, inputs, nil, y.pointer, outputs, 1, inputs, 0,
                        outputs)
                    alone += y.elements
                }
                for rows in 1...most {
                    let y = Halves.untouched(rows * outputs)
                    ck_linear_bf16(
                        x.pointer, inputs, weight.pointer, inputs, nil, y.pointer, outputs, rows, inputs, 0, outputs)
                    #expect(y.elements == Array(alone[..<(rows * outputs)]), "\(level), \(rows) rows")
                }
            }
        }

        @Test func notANumberAndInfinityPassThrough() {
            let inputs = 40, outputs = 3
            atEveryLevel { level in
                let x = Guarded([UInt16](repeating: bfloat16(1), count: inputs))
                let weight = Guarded([UInt16](repeating: bfloat16(1), count: inputs * outputs))
                weight[5] = bfloat16(.nan)
                weight[inputs + 39] = bfloat16(.infinity)
                let y = Halves.untouched(outputs)
                ck_linear_bf16(
                    x.pointer, inputs, weight.pointer, inputs, nil, y.pointer, outputs, 1, inputs, 0, outputs)
                #expect(float(y[0]).isNaN, "\(level)")
                #expect(float(y[1]) == .infinity, "\(level)")
                #expect(float(y[2]) == 40, "\(level)")
            }
        }

        @Test func gatedEqualsItsParts() throws {
            var random = Random(4)
            for trial in 0..<40 {
                let rows = trial < 20 ? trial + 1 : Int.random(in: 1...20, using: &random)
                let inputs = try #require(Self.sizes.randomElement(using: &random))
                let outputs = try #require(Self.sizes.randomElement(using: &random))
                let scale = trial % 4 == 0 ? 20 : 1 / Float(inputs).squareRoot()
                let x = Halves.normal(rows * inputs, &random)
                let gate = Halves.normal(outputs * inputs, &random, scale: scale)
                let up = Halves.normal(outputs * inputs, &random, scale: scale, atStart: true)
                let shares = cuts(outputs, &random)
                atEveryLevel { level in
                    let y = Halves.untouched(rows * outputs)
                    let g = Halves.untouched(rows * outputs), u = Halves.untouched(rows * outputs)
                    for share in shares {
                        ck_gated_linear_bf16(
                            x.pointer, inputs, gate.pointer, up.pointer, inputs, y.pointer, outputs, rows, inputs,
                            share.lowerBound, share.upperBound)
                    }
                    ck_linear_bf16(
                        x.pointer, inputs, gate.pointer, inputs, nil, g.pointer, outputs, rows, inputs, 0, outputs)
                    ck_linear_bf16(
                        x.pointer, inputs, up.pointer, inputs, nil, u.pointer, outputs, rows, inputs, 0, outputs)
                    for i in 0..<rows * outputs {
                        let input = Double(float(g[i]))
                        let silu = rounded(Float(input / (1 + exp(-input))))
                        let exact = silu * float(u[i])
                        // One unit either way where fp32 and fp64 disagree about a tie.
                        #expect(isClose(y[i], Double(exact), units: 2, slack: 1e-30), "\(level)")
                    }
                }
            }
        }
    }
}
