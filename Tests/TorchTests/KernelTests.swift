import Testing
import Torch

/// The house's CPU kernels behind tensor operations: same meaning as the library's, whichever of the two runs.
@Suite struct KernelTests {
    /// Recording gradients keeps the library's operation, which is what the quick one is held against.
    private func library<Result>(_ x: Tensor, _ body: (Tensor) throws -> Result) throws -> Result {
        let leaf = try x.clone()
        try leaf.setRequiresGradient(true)
        return try body(leaf)
    }

    @Test(arguments: [DType.bfloat16, .float32], [1, 2, 7, 16, 17])
    func smallLinearEqualsTheLibrarys(type: DType, rows: Int) throws {
        let generator = try RandomGenerator(seed: 3)
        let x = try generator.normal([rows, 2, 70]).to(type).slice(1, 0..<1)
        let weight = try generator.normal([300, 75]).to(type).slice(1, 2..<72)
        let bias = try generator.normal([300]).to(type)
        let tolerance = type == .float32 ? 1e-4 : 0.25
        for bias in [bias, nil] {
            let quick = try x.linear(weight, bias)
            let expected = try library(x) { try $0.linear(weight, bias).detach() }
            #expect(quick.shape == [rows, 1, 300])
            #expect(quick.dtype == type)
            #expect(try (quick - expected).to(.float32).abs().amax().item() < tolerance)
        }
    }

    @Test func smallLinearStillComplainsAboutShapes() throws {
        let x = try Tensor.ones([1, 5]).to(.bfloat16), weight = try Tensor.ones([4, 6]).to(.bfloat16)
        #expect(throws: TorchError.self) { try x.linear(weight) }
        #expect(throws: TorchError.self) { try x.linear(try Tensor.ones([4, 5])) }
    }

    /// Head size 7 is odd, so that the library attends; 8 is the kernel's. Both against float32, with gradients.
    @Test(arguments: [true, false], [7, 8])
    func attentionInBfloat16(causal: Bool, size: Int) throws {
        let queries = Segments(lengths: [5, 1, 0, 70]), keys = Segments(lengths: [5, 4, 2, 90])
        let generator = try RandomGenerator(seed: 8)
        let values = try [
            generator.normal([queries.total, 4, size]), generator.normal([keys.total, 2, size]),
            generator.normal([keys.total, 2, size]),
        ]
        let weights = try generator.normal([queries.total, 4, size])
        func run(_ type: DType) throws -> [Tensor] {
            let leaves = try values.map { try $0.to(.bfloat16).to(type).clone() }
            for leaf in leaves { try leaf.setRequiresGradient(true) }
            let out = try Tensor.packedAttention(
                leaves[0], leaves[1], leaves[2], queries: queries, keys: keys, causal: causal, scale: 0.35)
            try (out.to(.float32) * weights).sum().backward()
            return try [out.detach()] + leaves.map { try #require($0.gradient) }
        }
        for (found, wanted) in zip(try run(.bfloat16), try run(.float32)) {
            let error = try (found.to(.float32) - wanted).square().mean().item().squareRoot()
            #expect(error < 0.01 * (try wanted.square().mean().item().squareRoot()))
        }
    }
}

extension KernelTests {
    /// Largest difference as a part of the largest value.
    private func difference(_ a: Tensor, _ b: Tensor) throws -> Double {
        try (a.to(.float32) - b.to(.float32)).abs().amax().item() / b.to(.float32).abs().amax().item()
    }

    /// Recording gradients takes the other path, in bf16 as in float32.
    @Test(arguments: [DType.bfloat16, .float32])
    func rowOperationsEqualTheirPartsWithGradients(type: DType) throws {
        let generator = try RandomGenerator(seed: 4)
        let x = try generator.normal([3, 5, 70]).to(type), delta = try generator.normal([3, 5, 70]).to(type)
        let weight = try generator.normal([70]).to(type), bias = try generator.normal([70]).to(type)
        let gate = try generator.normal([40, 70]).to(type), up = try generator.normal([40, 70]).to(type)
        let heads = try generator.normal([15, 4, 32]).to(type).slice(1, 1..<4)
        let cosine = try generator.normal([15, 16]), sine = try generator.normal([15, 16])
        let operations: [(String, Tensor, (Tensor) throws -> [Tensor])] = [
            ("rms norm", x, { [try $0.rmsNorm(weight, epsilon: 1e-5)] }),
            ("layer norm", x, { [try $0.layerNorm(weight, bias, epsilon: 1e-5)] }),
            ("bare layer norm", x, { [try $0.layerNorm(nil, nil, epsilon: 1e-5)] }),
            (
                "add, rms norm", x,
                {
                    let both = try $0.addingRMSNorm(delta, weight, epsilon: 1e-5)
                    return [both.sum, both.norm]
                }
            ),
            (
                "add, layer norm", x,
                {
                    let both = try $0.addingLayerNorm(delta, weight, bias, epsilon: 1e-5)
                    return [both.sum, both.norm]
                }
            ),
            ("silu", x, { [try $0.silu()] }), ("gelu", x, { [try $0.gelu()] }),
            ("gelu tanh", x, { [try $0.gelu(tanh: true)] }), ("quick gelu", x, { [try $0.quickGelu()] }),
            ("gated silu", x, { [try $0.gatedSilu(delta)] }), ("gated linear", x, { [try $0.gatedLinear(gate, up)] }),
            ("rotation", heads, { [try $0.rotated(cosine: cosine, sine: sine)] }),
        ]
        for (name, input, operation) in operations {
            let quick = try operation(input),
                expected = try library(input) { try operation($0).map { try $0.detach() } }
            for (one, other) in zip(quick, expected) {
                #expect(one.shape == other.shape && one.dtype == type, "\(name)")
                #expect(try difference(one, other) < (type == .bfloat16 ? 0.01 : 1e-5), "\(name)")
            }
        }
    }

    @Test func rowOperationsStillComplainAboutShapes() throws {
        let x = try Tensor.ones([2, 8]).to(.bfloat16), short = try Tensor.ones([7]).to(.bfloat16)
        #expect(throws: TorchError.self) { try x.rmsNorm(short, epsilon: 1e-6) }
        #expect(throws: TorchError.self) { try x.layerNorm(short, nil, epsilon: 1e-6) }
        #expect(throws: TorchError.self) { try x.addingRMSNorm(short, short, epsilon: 1e-6) }
        #expect(throws: TorchError.self) { try x.gatedSilu(short) }
        #expect(throws: TorchError.self) { try x.gatedLinear(short, short) }
    }
}
