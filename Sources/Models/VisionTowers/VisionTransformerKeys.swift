/// The names under which a checkpoint holds a vision transformer's parameters, relative to the tower's scope.
///
/// Names of layers and norms stand for a scope with `weight` and `bias`; those of embeddings and factors for a parameter.
public struct VisionTransformerKeys: Sendable, Hashable {
    /// How a checkpoint stores the projections to queries, keys and values.
    public enum Projections: Sendable, Hashable {
        case separate(query: String, key: String, value: String)
        /// One layer, whose rows are all queries, then all keys, then all values.
        case fused(String)
        /// One layer, whose rows are query, key and value of the first head, then of the second, and so on.
        case fusedByHead(String)
        /// As `fused`, with whole names for weight and bias (PyTorch's own attention).
        case fusedParameters(weight: String, bias: String)
        /// One layer for queries and one for keys, then values.
        case queryAndKeyValue(query: String, keyValue: String)
    }

    public var classToken: String
    /// Dimensions of size 1 before the class token's own.
    public var classTokenPrefix: Int
    public var patches: String
    /// For `PatchEmbedding.normalized`: the norms around the layer.
    public var patchNorms: [String]
    public var positions: String
    /// Dimensions of size 1 before the position table's own.
    public var positionsPrefix: Int
    /// For `Positions.factorized`: rows and columns.
    public var factorizedPositions: [String]
    public var embeddingNorm: String
    public var layers: String
    public var attentionNorm: String
    public var projections: Projections
    public var queryNorm: String
    public var keyNorm: String
    public var output: String
    public var attentionScale: String
    public var feedForwardNorm: String
    public var up: String
    public var down: String
    public var feedForwardScale: String
    public var finalNorm: String
    /// What a norm calls its scale and its bias.
    public var normWeight: String
    public var normBias: String

    /// `CLIPVisionModel` and `SiglipVisionModel` of transformers, inside `vision_model`.
    public static let transformers = VisionTransformerKeys(
        classToken: "embeddings.class_embedding", classTokenPrefix: 0, patches: "embeddings.patch_embedding",
        patchNorms: [], positions: "embeddings.position_embedding.weight", positionsPrefix: 0,
        factorizedPositions: [], embeddingNorm: "pre_layrnorm", layers: "encoder.layers",
        attentionNorm: "layer_norm1",
        projections: .separate(query: "self_attn.q_proj", key: "self_attn.k_proj", value: "self_attn.v_proj"),
        queryNorm: "", keyNorm: "", output: "self_attn.out_proj", attentionScale: "", feedForwardNorm: "layer_norm2",
        up: "mlp.fc1", down: "mlp.fc2", feedForwardScale: "", finalNorm: "post_layernorm", normWeight: "weight",
        normBias: "bias")

    /// InternVL's own files, inside `vision_model`.
    public static let internViT = VisionTransformerKeys(
        classToken: "embeddings.class_embedding", classTokenPrefix: 2, patches: "embeddings.patch_embedding",
        patchNorms: [], positions: "embeddings.position_embedding", positionsPrefix: 1, factorizedPositions: [],
        embeddingNorm: "", layers: "encoder.layers", attentionNorm: "norm1", projections: .fused("attn.qkv"),
        queryNorm: "attn.q_norm", keyNorm: "attn.k_norm", output: "attn.proj", attentionScale: "ls1",
        feedForwardNorm: "norm2", up: "mlp.fc1", down: "mlp.fc2", feedForwardScale: "ls2", finalNorm: "",
        normWeight: "weight", normBias: "bias")

    /// open_clip's `visual`: DFN-5B's and LAION's models.
    public static let openCLIP = VisionTransformerKeys(
        classToken: "class_embedding", classTokenPrefix: 0, patches: "conv1", patchNorms: [],
        positions: "positional_embedding", positionsPrefix: 0, factorizedPositions: [], embeddingNorm: "ln_pre",
        layers: "transformer.resblocks", attentionNorm: "ln_1",
        projections: .fusedParameters(weight: "attn.in_proj_weight", bias: "attn.in_proj_bias"), queryNorm: "",
        keyNorm: "", output: "attn.out_proj", attentionScale: "", feedForwardNorm: "ln_2", up: "mlp.c_fc",
        down: "mlp.c_proj", feedForwardScale: "", finalNorm: "ln_post", normWeight: "weight", normBias: "bias")

    /// Qwen-VL's `transformer.visual`: open_clip's names with a fused projection of its own.
    public static let qwenVL: VisionTransformerKeys = {
        var keys = openCLIP
        keys.projections = .fusedByHead("attn.in_proj")
        return keys
    }()

    /// vit-pytorch's NaViT.
    public static let navit = VisionTransformerKeys(
        classToken: "", classTokenPrefix: 0, patches: "to_patch_embedding.1",
        patchNorms: ["to_patch_embedding.0", "to_patch_embedding.2"], positions: "", positionsPrefix: 0,
        factorizedPositions: ["pos_embed_height", "pos_embed_width"], embeddingNorm: "",
        layers: "transformer.layers", attentionNorm: "0.norm",
        projections: .queryAndKeyValue(query: "0.to_q", keyValue: "0.to_kv"), queryNorm: "0.q_norm",
        keyNorm: "0.k_norm", output: "0.to_out.0", attentionScale: "", feedForwardNorm: "1.0", up: "1.1",
        down: "1.4", feedForwardScale: "", finalNorm: "transformer.norm", normWeight: "gamma", normBias: "beta")
}
