public import NN
public import Torch

/// A causal language model over packed sequences: embedding, layers, norm and head.
public final class LanguageDecoder {
    public let configuration: DecoderConfiguration
    public let embedding: Embedding
    public let layers: [DecoderLayer]
    public let norm: any Normalization
    public let head: Linear
    private let rotary: RotaryPositions

    /// Takes `model.*` and, unless tied, `lm_head.*` from the scope.
    public init(_ configuration: DecoderConfiguration, _ scope: ParameterScope) throws {
        self.configuration = configuration
        let model = scope["model"], start = Initialization.normal(configuration.initializerRange)
        embedding = try Embedding(
            configuration.vocabularySize, configuration.hiddenSize, model["embed_tokens"], initialization: start)
        layers = try (0..<configuration.layers).map {
            try DecoderLayer(configuration, layer: $0, model["layers"][$0])
        }
        norm = try RMSNorm(configuration.hiddenSize, epsilon: configuration.normEpsilon, model["norm"])
        head =
            configuration.hasTiedHead
            ? Linear(weight: embedding.weight)
            : try Linear(
                configuration.hiddenSize, configuration.vocabularySize, bias: false, scope["lm_head"],
                initialization: start)
        rotary = RotaryPositions(configuration)
    }

    /// Hidden states behind the last norm, `[tokens, hidden]`, for embeddings of the same shape.
    public func callAsFunction(
        _ embeddings: Tensor, positions: [SIMD3<Int32>], segments: Segments, context: ForwardContext
    ) throws -> Tensor {
        precondition(positions.count == embeddings.size(0) && segments.total == positions.count)
        let pass = DecoderPass(
            rotary: try rotary.table(for: positions, device: embeddings.device), segments: segments, context: context)
        var hidden = embeddings
        for (index, layer) in layers.enumerated() {
            hidden = try layer(hidden, pass)
            try context.observe("text.layer\(index)", hidden)
        }
        try context.observe("text.last_layer_before_norm", hidden)
        hidden = try norm(hidden)
        try context.observe("text.final_norm", hidden)
        return hidden
    }

    /// A cache for one sequence of up to `limit` tokens.
    public func makeCache(limit: Int? = nil) -> KeyValueCache {
        KeyValueCache(layers: layers.count, limit: limit ?? configuration.maxPositions)
    }
}
