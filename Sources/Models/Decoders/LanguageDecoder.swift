internal import Foundation
public import NN
public import Torch

/// A causal language model over packed sequences: embedding, layers, norm and head.
public final class LanguageDecoder {
    public let configuration: DecoderConfiguration
    public let embedding: Embedding
    public let layers: [DecoderLayer]
    public let norm: any Normalization
    public let head: Linear
    /// What of the vocabulary this rank reads and scores; nil where embedding and head are whole.
    public var vocabularyPart: VocabularyPart? { embedding.part }
    private let rotary: RotaryPositions

    /// Takes the decoder's parameters and, unless tied, the head's from the scope, by the configuration's names.
    public init(_ configuration: DecoderConfiguration, _ scope: ParameterScope) throws {
        self.configuration = configuration
        let naming = configuration.naming, start = Initialization.normal(configuration.initializerRange)
        let model = naming.model.isEmpty ? scope : scope[naming.model]
        embedding = try Embedding(
            configuration.vocabularySize, configuration.hiddenSize, model[naming.embedding], initialization: start)
        layers = try (0..<configuration.layers).map {
            try DecoderLayer(configuration, layer: $0, model[naming.layers][$0])
        }
        norm = try RMSNorm(configuration.hiddenSize, epsilon: configuration.normEpsilon, model[naming.norm])
        head =
            configuration.hasTiedHead
            ? Linear(weight: embedding.weight)
            : try Linear(
                configuration.hiddenSize, configuration.vocabularySize, bias: false, scope[naming.head],
                initialization: start)
        rotary = RotaryPositions(configuration)
        scope.store.addDivisible(self)
    }

    /// Hidden states behind the last norm, `[tokens, hidden]`, for embeddings of the same shape.
    ///
    /// - Parameter memory: what gated cross-attention sees, `[columns, hidden]`, in the order of `input.memory`.
    public func callAsFunction(
        _ embeddings: Tensor, _ input: ModelInput, memory: Tensor? = nil, context: ForwardContext
    ) throws -> Tensor {
        let segments = input.segments
        precondition(input.positions.count == embeddings.size(0) && segments.total == input.positions.count)
        let pass = DecoderPass(
            rotary: try rotary.table(
                for: input.positions, segments: segments, lengths: rotaryLengths(input, context),
                device: embeddings.device),
            queryScale: try queryScale(input.positions, device: embeddings.device),
            segments: segments,
            memory: configuration.crossAttentionEvery == nil
                ? nil : try CrossAttentionPass(input, memory, context, device: embeddings.device),
            context: context)
        var hidden = embeddings
        for (index, layer) in layers.enumerated() {
            let recomputes = context.recomputed.contains(.decoder) || layer.isSpread
            hidden = try recomputes ? layer.recomputed(hidden, pass) : layer(hidden, pass)
            try context.observe("text.layer\(index)", hidden)
        }
        try context.observe("text.last_layer_before_norm", hidden)
        hidden = try norm(hidden)
        try context.observe("text.final_norm", hidden)
        return hidden
    }

    /// What queries are multiplied by so that attention stays sharp beyond the length of pre-training: the logarithm of
    /// the number of tokens seen, to the base of that length. Nil where no token is that far.
    private func queryScale(_ positions: [SIMD3<Int32>], device: Device) throws -> Tensor? {
        guard let trained = configuration.logarithmicAttention, positions.contains(where: { $0.x >= trained }) else {
            return nil
        }
        let scales = positions.map { position -> Float in
            let seen = Double(position.x) + 1
            return seen > Double(trained) ? Float(log(seen) / log(Double(trained))) : 1
        }
        return try Tensor(scales, shape: [scales.count, 1, 1]).to(device)
    }

    /// The lengths by which frequencies are scaled: a sequence keeps that of its prompt.
    private func rotaryLengths(_ input: ModelInput, _ context: ForwardContext) -> [Int] {
        guard let caches = context.caches else { return input.rotaryLengths }
        return zip(caches, input.rotaryLengths).map { $0.fixRotaryLength($1) }
    }

    /// A cache for one sequence of up to `limit` tokens.
    public func makeCache(limit: Int? = nil) -> KeyValueCache {
        KeyValueCache(layers: layers.count, limit: limit ?? configuration.contextLength)
    }
}

/// Embedding and head divide the vocabulary (Shoeybi et al. 2019, section 3), where it comes out even.
extension LanguageDecoder: DivisibleBlock {
    /// What cannot be divided stays whole.
    public func obstacle(tensor parts: Int) -> String? { nil }

    public func divide(tensor: TensorDivision?, experts: ExpertDivision?) throws {
        guard let tensor, configuration.vocabularySize.isMultiple(of: tensor.group.size), head.weight.adapter == nil
        else { return }
        embedding.divide(over: tensor)
        // A tied head's matrix is the table.
        if head.weight !== embedding.weight { head.divideOutput(over: tensor) }
    }

    public func unite() {
        embedding.unite()
        head.unite()
    }
}
