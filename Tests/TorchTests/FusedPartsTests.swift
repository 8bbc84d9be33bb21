import Testing
import Torch

/// Parts that are one node of the graph, against the operations that they stand for.
@Suite struct FusedPartsTests {
    private func leaf(_ shape: [Int], seed: UInt64, _ dtype: DType) throws -> Tensor {
        let tensor = try RandomGenerator(seed: seed).normal(shape).to(dtype)
        try tensor.setRequiresGradient(true)
        return tensor
    }

    /// The largest difference of values and gradients, relative to the largest value of each.
    private func difference(
        _ inputs: () throws -> [Tensor], _ one: ([Tensor]) throws -> Tensor, _ other: ([Tensor]) throws -> Tensor
    ) throws -> Double {
        let a = try inputs(), b = try inputs()
        let first = try one(a), second = try other(b)
        let weights = try RandomGenerator(seed: 99).normal(first.shape).to(first.dtype)
        try first.backward(weights)
        try second.backward(weights.reshape(second.shape))
        func relative(_ x: Tensor, _ y: Tensor) throws -> Double {
            let wide = try y.to(.float64)
            return try (x.reshape(y.shape).to(.float64) - wide).abs().amax().item() / wide.abs().amax().item()
        }
        var worst = try relative(first, second)
        for (x, y) in zip(a, b) {
            worst = max(worst, try relative(#require(x.gradient), #require(y.gradient)))
        }
        return worst
    }

    private func tolerance(_ dtype: DType) -> Double { dtype == .float32 ? 2e-6 : 2e-2 }

    @Test(arguments: [DType.float32, .bfloat16], [1, 37, 256])
    func rmsNorm(dtype: DType, size: Int) throws {
        let found = try difference {
            [try leaf([300, size], seed: 1, dtype), try leaf([size], seed: 2, dtype)]
        } _: {
            try $0[0].rmsNorm($0[1], epsilon: 1e-6)
        } _: {
            let wide = try $0[0].to(.float32)
            let scale = try (wide.square().mean([-1], keepDimensions: true) + 1e-6).rsqrt()
            return try (wide * scale).to(dtype) * $0[1]
        }
        // The gradient of the norm of a single value is nothing but rounding.
        #expect(found < (size == 1 ? 2 : tolerance(dtype) * 2))
    }

    @Test(arguments: [DType.float32, .bfloat16])
    func gatedSilu(dtype: DType) throws {
        let found = try difference {
            [try leaf([7, 1003], seed: 1, dtype), try leaf([7, 1003], seed: 2, dtype)]
        } _: {
            try $0[0].gatedSilu($0[1])
        } _: {
            try $0[0].silu() * $0[1]
        }
        #expect(found < tolerance(dtype))
    }

    @Test(arguments: [DType.float32, .bfloat16])
    func quickGelu(dtype: DType) throws {
        let found = try difference {
            [try leaf([7, 1003], seed: 1, dtype)]
        } _: {
            try $0[0].quickGelu()
        } _: {
            try $0[0] * ($0[0] * 1.702).sigmoid()
        }
        #expect(found < tolerance(dtype))
    }

    @Test func activationsAtTheEndsOfTheRange() throws {
        let x = try Tensor([Float(-1e30), -200, -90, -0.0, 0, 90, 200, 1e30, .nan])
        let gelu = try x.quickGelu().floats(), expected = try (x * (x * 1.702).sigmoid()).floats()
        for (a, b) in zip(gelu, expected) { #expect(a == b || a.isNaN && b.isNaN || abs(a - b) <= abs(b) * 1e-6) }
    }

    @Test(arguments: [true, false], [1, 2])
    func rotaryAttention(causal: Bool, shared: Int) throws {
        let segments = Segments(lengths: [5, 0, 33, 16, 1]), size = 32, tokens = segments.total
        let angles = try RandomGenerator(seed: 8).normal([tokens, size / 2])
        let cosine = try angles.cos(), sine = try angles.sin()
        func rotated(_ x: Tensor) throws -> Tensor {
            let wide = try x.to(.float32)
            let a = try wide.slice(2, 0..<size / 2), b = try wide.slice(2, size / 2..<size)
            let c = try cosine.unsqueeze(1), s = try sine.unsqueeze(1)
            return try Tensor.cat([a * c - b * s, b * c + a * s], dimension: 2).to(x.dtype)
        }
        let found = try difference {
            [
                try leaf([tokens, 2 * shared, size], seed: 1, .bfloat16),
                try leaf([tokens, 2, size], seed: 2, .bfloat16),
                try leaf([tokens, 2, size], seed: 3, .bfloat16),
            ]
        } _: {
            try Tensor.rotaryAttention(
                $0[0], $0[1], $0[2], cosine: cosine, sine: sine, segments: segments, causal: causal, scale: 0.2)
        } _: {
            try Tensor.packedAttention(
                rotated($0[0].to(.float32)), rotated($0[1].to(.float32)), $0[2].to(.float32), queries: segments,
                keys: segments, causal: causal, scale: 0.2
            ).to(.bfloat16)
        }
        #expect(found < 2e-2)
    }

    @Test func fusedInputGivesWhatSeparateOnesGive() throws {
        let segments = Segments(lengths: [20, 7]), size = 16
        let angles = try RandomGenerator(seed: 8).normal([27, size / 2])
        let cosine = try angles.cos(), sine = try angles.sin()
        let found = try difference {
            [try leaf([27, 3, 2, size], seed: 1, .bfloat16)]
        } _: {
            try Tensor.rotaryAttention(
                fused: $0[0], cosine: cosine, sine: sine, segments: segments, causal: false, scale: 0.25)
        } _: {
            try Tensor.rotaryAttention(
                $0[0].select(1, 0), $0[0].select(1, 1), $0[0].select(1, 2), cosine: cosine, sine: sine,
                segments: segments, causal: false, scale: 0.25)
        }
        #expect(found == 0)
    }

    @Test func refusesWhatItCannotTake() throws {
        let x = try Tensor.zeros([4, 2, 8])
        #expect(throws: TorchError.self) {
            try Tensor.rotaryAttention(
                x, x, x, cosine: Tensor.zeros([4, 4]), sine: Tensor.zeros([4, 4]), segments: Segments(lengths: [4]),
                causal: true, scale: 1)
        }
    }
}
