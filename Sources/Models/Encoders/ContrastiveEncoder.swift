internal import Foundation
public import NN
public import Torch

/// A vision tower and a text tower that put a picture and its text at the same place: CLIP (Radford et al. 2021) and
/// SigLIP (Zhai et al. 2023), in transformers' layout.
public final class ContrastiveEncoder {
    public enum Kind: Sendable, Hashable {
        /// Class token, projections of both sides, a learned temperature.
        case clip(projectionSize: Int)
        /// Attention pooling, no projections, a learned temperature and bias.
        case siglip
    }

    public let kind: Kind
    public let vision: VisionTransformer
    public let text: TextTower
    /// The logarithm of the scale of similarities; a scalar.
    public let logitScale: Parameter
    /// What is added to scaled similarities; SigLIP only.
    public let logitBias: Parameter?
    private let pool: AttentionPoolHead?
    private let visionProjection: Linear?
    private let textProjection: Linear?

    public init(
        _ kind: Kind, vision configuration: VisionTransformerConfiguration, text: TextTower.Configuration,
        _ scope: ParameterScope
    ) throws {
        self.kind = kind
        vision = try VisionTransformer(configuration, scope["vision_model"])
        self.text = try TextTower(text, scope["text_model"])
        switch kind {
        case .clip(let size):
            precondition(configuration.hasClassToken, "CLIP pools by its class token")
            pool = nil
            visionProjection = try Linear(configuration.hiddenSize, size, bias: false, scope["visual_projection"])
            textProjection = try Linear(text.hiddenSize, size, bias: false, scope["text_projection"])
            logitScale = try scope.parameter("logit_scale", [], .constant(log(1 / 0.07)))
            logitBias = nil
        case .siglip:
            precondition(configuration.hiddenSize == text.hiddenSize, "SigLIP's towers are of one width")
            pool = try AttentionPoolHead(
                hiddenSize: configuration.hiddenSize, heads: configuration.heads,
                feedForwardSize: configuration.feedForwardSize, activation: configuration.activation,
                normEpsilon: configuration.normEpsilon, scope["vision_model"]["head"])
            (visionProjection, textProjection) = (nil, nil)
            logitScale = try scope.parameter("logit_scale", [1], .constant(log(10)))
            logitBias = try scope.parameter("logit_bias", [1], .constant(-10))
        }
    }

    /// Directions of pictures, `[pictures, size]`, of length 1.
    public func features(of pictures: PatchBatch) throws -> Tensor {
        let tokens = try vision(pictures)
        var pooled = try vision.normalized(tokens)
        if let pool { pooled = try pool(pooled, tokens.segments) }
        return try (visionProjection?(pooled) ?? pooled).directions()
    }

    /// Directions of texts, `[texts, size]`, of length 1.
    public func features(of texts: [[Int32]]) throws -> Tensor {
        let pooled = try text(texts)
        return try (textProjection?(pooled) ?? pooled).directions()
    }

    /// How well each picture fits each text, `[pictures, texts]`: scaled cosines, plus the bias where there is one.
    public func similarities(_ pictures: Tensor, _ texts: Tensor) throws -> Tensor {
        let scaled = try pictures.matmul(texts.transpose(0, 1)) * logitScale.tensor.to(.float32).exp()
        guard let logitBias else { return scaled }
        return try scaled + logitBias.tensor.to(.float32)
    }
}

extension Tensor {
    /// Rows scaled to length 1, in float32: a scale of 100 lies on top of them.
    fileprivate func directions() throws -> Tensor {
        let rows = try to(.float32)
        return try rows / (rows.square().sum([-1], keepDimensions: true) + 1e-12).sqrt()
    }
}
