public import NN
public import Torch

/// NaViT with masked attention pooling and a classifier (Dehghani et al. 2023), in vit-pytorch's layout: one query that
/// all pictures share attends to each picture's own patches.
public final class NaViTClassifier {
    public let tower: VisionTransformer
    private let pool: NaViTPool
    private let headNorm: any Normalization
    private let head: Linear

    /// Takes the tower's parameters, `attn_pool_queries`, `attn_pool.*` and `mlp_head.*` from the scope.
    public init(_ configuration: VisionTransformerConfiguration, classes: Int, _ scope: ParameterScope) throws {
        tower = try VisionTransformer(configuration, scope)
        pool = try NaViTPool(configuration, scope)
        headNorm = try configuration.makeNorm(scope["mlp_head"][0])
        head = try Linear(configuration.hiddenSize, classes, bias: false, scope["mlp_head"][1])
    }

    /// Scores of each picture, `[pictures, classes]`.
    public func callAsFunction(_ batch: PatchBatch, _ context: ForwardContext = ForwardContext()) throws -> Tensor {
        try head(headNorm(pooled(batch, context)))
    }

    /// One feature a picture, `[pictures, hidden]`.
    public func pooled(_ batch: PatchBatch, _ context: ForwardContext = ForwardContext()) throws -> Tensor {
        let tokens = try tower(batch, context)
        return try pool(tower.normalized(tokens), tokens.segments)
    }
}

/// vit-pytorch's pooling: attention with the tower's own normalisation of queries and keys, the query added to the
/// result.
final class NaViTPool {
    private let query: Parameter
    private let norm: any Normalization
    private let queryNorm: QueryKeyNormalization?
    private let keyNorm: QueryKeyNormalization?
    private let attention: CrossAttention
    private let configuration: VisionTransformerConfiguration

    init(_ configuration: VisionTransformerConfiguration, _ scope: ParameterScope) throws {
        self.configuration = configuration
        query = try scope.parameter("attn_pool_queries", [configuration.hiddenSize], .normal(0.02))
        let pool = scope["attn_pool"]
        norm = try configuration.makeNorm(pool["norm"])
        queryNorm = try configuration.queryKeyNorm.map {
            try QueryKeyNormalization($0, configuration, pool["q_norm"])
        }
        keyNorm = try configuration.queryKeyNorm.map {
            try QueryKeyNormalization($0, configuration, pool["k_norm"])
        }
        attention = try CrossAttention(
            querySize: configuration.hiddenSize, keySize: configuration.hiddenSize, heads: configuration.heads,
            headSize: configuration.headSize, layout: .queryAndKeyValue(output: "to_out.0"), pool)
    }

    /// `[tokens of all pictures, hidden]` give `[pictures, hidden]`.
    func callAsFunction(_ tokens: Tensor, _ segments: Segments) throws -> Tensor {
        let pictures = segments.count
        let queries = try query.tensor.view([1, -1]).expand([pictures, configuration.hiddenSize])
        let pooled = try attention(
            norm(queries), keys: tokens, values: tokens,
            queries: Segments(lengths: [Int](repeating: 1, count: pictures)), segments: segments,
            scale: configuration.queryKeyNorm == .unitHeads ? 1 : nil,
            normalize: { x, index in try (index == 0 ? self.queryNorm : self.keyNorm)?(x) ?? x })
        return try pooled + queries
    }
}
