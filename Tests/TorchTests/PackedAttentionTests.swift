import CStandInDevice
import Testing
import Torch

/// Attention by its definition, one segment at a time.
private func reference(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, _ queries: Segments, _ keys: Segments, causal: Bool, scale: Double
) throws -> Tensor {
    let shared = q.size(1) / k.size(1)
    var parts: [Tensor] = []
    for index in 0..<queries.count where !queries.range(index).isEmpty {
        let query = try q.slice(0, queries.range(index)).transpose(0, 1)
        let key = try k.slice(0, keys.range(index)).repeatInterleave(shared, dimension: 1).transpose(0, 1)
        let value = try v.slice(0, keys.range(index)).repeatInterleave(shared, dimension: 1).transpose(0, 1)
        var scores = try query.matmul(key.transpose(-1, -2)) * scale
        if causal {
            let (rows, columns) = (scores.size(1), scores.size(2))
            scores = try scores.maskedFill(Tensor.ones([rows, columns]).triu(columns - rows + 1).gt(0), -.infinity)
        }
        parts.append(try scores.softmax(-1).matmul(value).transpose(0, 1))
    }
    return try Tensor.cat(parts)
}

@Suite struct PackedAttentionTests {
    @Test(arguments: [true, false], [1, 3])
    func equalsTheDefinitionForwardAndBackward(causal: Bool, shared: Int) throws {
        let generator = try RandomGenerator(seed: 5)
        let queries = Segments(lengths: [5, 1, 0, 7]), keys = Segments(lengths: [5, 4, 2, 9])
        func leaves() throws -> [Tensor] {
            let generator = try RandomGenerator(seed: 6)
            let made = try [
                generator.normal([queries.total, 2 * shared, 8]), generator.normal([keys.total, 2, 8]),
                generator.normal([keys.total, 2, 8]),
            ]
            for leaf in made { try leaf.setRequiresGradient(true) }
            return made
        }
        let weights = try generator.normal([queries.total, 2 * shared, 8])
        let a = try leaves(), b = try leaves()
        let packed = try Tensor.packedAttention(
            a[0], a[1], a[2], queries: queries, keys: keys, causal: causal, scale: 0.35)
        let expected = try reference(b[0], b[1], b[2], queries, keys, causal: causal, scale: 0.35)
        #expect(try (packed - expected).abs().amax().item() < 1e-5)
        try (packed * weights).sum().backward()
        try (expected * weights).sum().backward()
        for (one, other) in zip(a, b) {
            let found = try #require(one.gradient), wanted = try #require(other.gradient)
            #expect(try (found - wanted).abs().amax().item() < 1e-5)
        }
    }

    /// One kernel for all segments, as GPUs have them: what it is given here is checked by one that stands in for it.
    @Test(
        .enabled(if: stand_in_device_is_there()), arguments: [DType.float32, .bfloat16],
        [(true, 1), (true, 3), (false, 3)])
    func kernelsForManySegmentsGetAllAtOnce(_ dtype: DType, _ form: (causal: Bool, shared: Int)) throws {
        let queries = Segments(lengths: [5, 1, 0, 7]), keys = Segments(lengths: [5, 4, 2, 9])
        func run(_ device: Device) throws -> [Tensor] {
            let generator = try RandomGenerator(seed: 6)
            let leaves = try [(queries.total, 2 * form.shared), (keys.total, 2), (keys.total, 2)].map { rows, heads in
                try generator.normal([rows, heads, 16]).to(dtype).to(device)
            }
            let weights = try generator.normal([queries.total, 2 * form.shared, 16]).to(device)
            for leaf in leaves { try leaf.setRequiresGradient(true) }
            let output = try Tensor.packedAttention(
                leaves[0], leaves[1], leaves[2], queries: queries, keys: keys, causal: form.causal, scale: 0.35)
            #expect(output.device == device && output.dtype == dtype)
            try (output.to(.float32) * weights).sum().backward()
            return try [output] + leaves.map { try #require($0.gradient) }
        }
        let before = (stand_in_device_flash_attentions(), stand_in_device_efficient_attentions())
        let found = try run(.mps)
        #expect(dtype == .float32 || stand_in_device_flash_attentions() > before.0)
        #expect(dtype == .bfloat16 || stand_in_device_efficient_attentions() > before.1)
        for (one, other) in zip(found, try run(.cpu)) {
            let difference = try (one.to(.cpu).to(.float32) - other.to(.float32)).abs().amax().item()
            #expect(difference < (dtype == .float32 ? 1e-5 : 0.06))
        }
    }

    @Test func anotherSegmentChangesNothing() throws {
        let generator = try RandomGenerator(seed: 9)
        let segments = Segments(lengths: [6, 5])
        let q = try generator.normal([11, 4, 16]), k = try generator.normal([11, 4, 16]),
            v = try generator.normal([11, 4, 16])
        func run(_ q: Tensor, _ k: Tensor, _ v: Tensor) throws -> Tensor {
            try Tensor.packedAttention(q, k, v, queries: segments, keys: segments, causal: true, scale: 0.25)
        }
        let before = try run(q, k, v).slice(0, 6..<11)
        for tensor in [q, k, v] { try tensor.slice(0, 0..<6).fill(37) }
        #expect(try run(q, k, v).slice(0, 6..<11).isEqual(to: before))
    }

    @Test func wrongOffsetsAreErrors() throws {
        let x = try Tensor.zeros([4, 2, 8])
        for (queries, keys) in [([3], [4]), ([4], [3]), ([2, 2], [4, 0])] {
            #expect(throws: TorchError.self) {
                try Tensor.packedAttention(
                    x, x, x, queries: Segments(lengths: queries), keys: Segments(lengths: keys), causal: false, scale: 1
                )
            }
        }
        #expect(throws: TorchError.self) {
            try Tensor.packedAttention(
                x, x.slice(0, 0..<2), x.slice(0, 0..<2), queries: Segments(lengths: [4]), keys: Segments(lengths: [2]),
                causal: true, scale: 1)
        }
    }
}
