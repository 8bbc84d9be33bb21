internal import Foundation
public import Models
public import Torch

/// The losses by which vision encoders learn before a language model reads them.
public enum EncoderObjectives {
    /// CLIP's: each picture finds its text among all texts of the batch, and each text its picture (Radford et al. 2021,
    /// figure 3).
    ///
    /// - Parameters:
    ///   - similarities: `[pairs, pairs]`; picture `i` belongs to text `i`.
    ///   - valid: which pairs are real; those that only fill up a packed batch count neither as rows nor as columns.
    public static func softmaxContrastive(_ similarities: Tensor, valid: [Bool]? = nil) throws -> Tensor {
        let scores = try kept(similarities, valid).to(.float32)
        let targets = try Tensor(Array(0..<scores.size(0))).to(scores.device)
        let byPicture = try scores.crossEntropy(targets, reduction: .mean)
        let byText = try scores.transpose(0, 1).contiguous().crossEntropy(targets, reduction: .mean)
        return try (byPicture + byText) * 0.5
    }

    /// SigLIP's: each picture with each text is a yes-or-no question of its own (Zhai et al. 2023, algorithm 1). The sum
    /// over all pairs by the number of pictures.
    public static func sigmoidContrastive(_ similarities: Tensor, valid: [Bool]? = nil) throws -> Tensor {
        let scores = try kept(similarities, valid).to(.float32), pairs = scores.size(0)
        // 1 on the diagonal, -1 elsewhere.
        let signs = try Tensor(Array(0..<pairs)).oneHot(pairs).to(.float32).to(scores.device) * 2 - 1
        return try (-(scores * signs)).softplus().sum() / Double(pairs)
    }

    /// Classification with one right class a picture: `[pictures, classes]`, labels by picture.
    public static func classification(_ scores: Tensor, labels: [Int]) throws -> Tensor {
        try check(labels, scores)
        return try scores.to(.float32).crossEntropy(Tensor(labels).to(scores.device), reduction: .mean)
    }

    /// Classification as a yes-or-no question for every class, as NaViT was trained: the sum over classes, the mean over
    /// pictures. A picture may have several labels.
    public static func sigmoidClassification(_ scores: Tensor, labels: [[Int]]) throws -> Tensor {
        try check(labels.flatMap { $0 }, scores)
        let classes = scores.size(1)
        var targets = [Float](repeating: 0, count: labels.count * classes)
        for (picture, own) in labels.enumerated() { for label in own { targets[picture * classes + label] = 1 } }
        let signs = try Tensor(targets, shape: [labels.count, classes]).to(scores.device) * 2 - 1
        return try (-(scores.to(.float32) * signs)).softplus().sum() / Double(max(1, labels.count))
    }

    /// AIM's: the mean squared error of each predicted patch behind the prefix, against pixels that are normalised patch
    /// by patch (El-Nouby et al. 2024, section 3.2).
    ///
    /// - Parameters:
    ///   - predictions: `[patches, patch length]`; row `k` of a picture speaks of its patch `k + 1`.
    ///   - batch: the same patches.
    ///   - prefixes: patches of each picture that all its tokens may see; at least 1, and fewer than it has.
    public static func autoregressive(_ predictions: Tensor, _ batch: PatchBatch, prefixes: [Int]) throws -> Tensor {
        var from: [Int] = [], target: [Int] = [], start = 0
        for (count, prefix) in zip(batch.counts, prefixes) {
            guard 1..<count ~= prefix else {
                throw ProcessingError.unsupported(
                    "a prefix of \(prefix) patches leaves nothing to predict in a picture of \(count)")
            }
            from += start + prefix - 1..<start + count - 1
            target += start + prefix..<start + count
            start += count
        }
        let pixels = try batch.patches.to(predictions.device).indexSelect(0, Tensor(target).to(predictions.device))
            .to(.float32)
        let wanted = try pixels.layerNorm(nil, nil, epsilon: 1e-6)
        let given = try predictions.indexSelect(0, Tensor(from).to(predictions.device)).to(.float32)
        return try (given - wanted).square().mean()
    }

    private static func kept(_ similarities: Tensor, _ valid: [Bool]?) throws -> Tensor {
        guard similarities.rank == 2, similarities.size(0) == similarities.size(1) else {
            throw ProcessingError.unsupported(
                "similarities of shape \(similarities.shape) are no square of pictures and texts")
        }
        guard let valid, valid.contains(false) else { return similarities }
        precondition(valid.count == similarities.size(0), "a word on each pair")
        let rows = try Tensor(valid.indices.filter { valid[$0] }).to(similarities.device)
        return try similarities.indexSelect(0, rows).indexSelect(1, rows)
    }

    private static func check(_ labels: [Int], _ scores: Tensor) throws {
        if let label = labels.first(where: { !(0..<scores.size(1) ~= $0) }) {
            throw ProcessingError.unsupported("there is no class \(label); the head has \(scores.size(1))")
        }
    }
}
