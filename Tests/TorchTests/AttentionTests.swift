import Testing
import Torch

@Suite struct AttentionTests {
    @Test func groupedAttentionEqualsRepeatedHeads() throws {
        let generator = try RandomGenerator(seed: 3)
        let q = try generator.normal([1, 6, 5, 8]), k = try generator.normal([1, 2, 5, 8])
        let v = try generator.normal([1, 2, 5, 8])
        let grouped = try Tensor.scaledDotProductAttention(q, k, v, causal: true, scale: 0.3, grouped: true)
        let scores = try q.matmul(k.repeatInterleave(3, dimension: 1).transpose(-1, -2)) * 0.3
        let mask = try Tensor.ones([5, 5]).triu(1).gt(0)
        let weights = try scores.maskedFill(mask, -.infinity).softmax(-1)
        let expected = try weights.matmul(v.repeatInterleave(3, dimension: 1))
        #expect(try (grouped - expected).abs().amax().item() < 1e-5)
    }
}
