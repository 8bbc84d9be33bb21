internal import NN

extension VisionTransformerConfiguration {
    /// `CLIPVisionModel` of transformers.
    public init(clip reader: ConfigurationReader) throws {
        try self.init(
            reader, activation: .quickGelu, epsilon: 1e-5, hasClassToken: true, patchBias: false,
            hasEmbeddingNorm: true, finalNorm: .classToken)
    }

    /// `SiglipVisionModel` of transformers.
    public init(siglip reader: ConfigurationReader) throws {
        try self.init(
            reader, activation: .geluTanh, epsilon: 1e-6, hasClassToken: false, patchBias: true,
            hasEmbeddingNorm: false, finalNorm: .allTokens)
    }

    /// The `vision_config` of InternVL and NVLM.
    public init(internViT reader: ConfigurationReader) throws {
        let (size, heads) = try reader.widthAndHeads()
        let patch = try reader.integer("patch_size", default: 14, in: 1...256)
        let image = try reader.integer("image_size", default: 448, in: patch...16384)
        let norm = try reader.string("norm_type", default: "rms_norm")
        guard ["rms_norm", "layer_norm"].contains(norm) else {
            throw reader.failure("norm_type", "is '\(norm)'; supported are rms_norm and layer_norm")
        }
        self.init(
            hiddenSize: size, layers: try reader.integer("num_hidden_layers", in: 1...1024), heads: heads,
            feedForwardSize: try reader.integer("intermediate_size"), patchSize: patch,
            positions: .table(side: image / patch), keys: .internViT, hasClassToken: true,
            norm: norm == "rms_norm" ? .rms : .layer,
            normEpsilon: try reader.number("layer_norm_eps", default: 1e-6),
            hasAttentionBias: try reader.flag("qkv_bias", default: false),
            queryKeyNorm: try reader.flag("qk_normalization", default: true) ? .acrossHeads : nil,
            layerScale: try reader.number("initializer_factor", default: 0.1),
            activation: try reader.activation("hidden_act", default: .gelu))
        try reader.require("num_channels", .number(3))
        // Dropping whole layers at random is for training InternViT itself.
        try reader.finish(
            harmless: ConfigurationReader.bookkeeping.union(ConfigurationReader.generation).union([
                "dropout", "drop_path_rate", "use_flash_attn",
            ]))
    }

    private init(
        _ reader: ConfigurationReader, activation: Activation, epsilon: Double, hasClassToken: Bool, patchBias: Bool,
        hasEmbeddingNorm: Bool, finalNorm: FinalNorm
    ) throws {
        let (size, heads) = try reader.widthAndHeads()
        let patch = try reader.integer("patch_size", default: hasClassToken ? 32 : 16, in: 1...256)
        let image = try reader.integer("image_size", default: 224, in: patch...16384)
        self.init(
            hiddenSize: size, layers: try reader.integer("num_hidden_layers", default: 12, in: 1...1024), heads: heads,
            feedForwardSize: try reader.integer("intermediate_size", default: 3072), patchSize: patch,
            positions: .table(side: image / patch), keys: .transformers,
            channels: try reader.integer("num_channels", default: 3, in: 1...64),
            patchEmbedding: .convolution(bias: patchBias), hasClassToken: hasClassToken,
            hasEmbeddingNorm: hasEmbeddingNorm,
            normEpsilon: try reader.number("layer_norm_eps", default: epsilon), finalNorm: finalNorm,
            activation: try reader.activation("hidden_act", default: activation))
        try reader.finish(
            harmless: ConfigurationReader.bookkeeping.union(ConfigurationReader.generation).union([
                "projection_dim", "dropout", "initializer_factor",
            ]))
    }

    /// vit-pytorch's NaViT: the arguments of its initialiser by their own names.
    public init(navit reader: ConfigurationReader) throws {
        let patch = try reader.integer("patch_size", in: 1...256),
            image = try reader.integer("image_size", in: 1...16384)
        guard image % patch == 0 else {
            throw reader.failure("image_size", "is \(image), not a multiple of patch_size \(patch)")
        }
        self = .navit(
            hiddenSize: try reader.integer("dim", in: 1...65536), layers: try reader.integer("depth", in: 1...1024),
            heads: try reader.integer("heads", in: 1...1024), patchSize: patch,
            feedForwardSize: try reader.integer("mlp_dim"), side: image / patch,
            headSize: try reader.integer("dim_head", default: 64, in: 1...4096))
        channels = try reader.integer("channels", default: 3, in: 1...64)
    }

    /// NaViT with vit-pytorch's choices: norms around the patch layer, queries and keys of unit length, biases in the
    /// feed-forward only.
    public static func navit(
        hiddenSize: Int, layers: Int, heads: Int, patchSize: Int, feedForwardSize: Int, side: Int,
        headSize: Int? = nil, isFractional: Bool = false, queryKeyNorm: QueryKeyNorm = .unitHeads
    ) -> VisionTransformerConfiguration {
        VisionTransformerConfiguration(
            hiddenSize: hiddenSize, layers: layers, heads: heads, feedForwardSize: feedForwardSize,
            patchSize: patchSize, positions: .factorized(rows: side, columns: side, isFractional: isFractional),
            keys: .navit, headSize: headSize, patchEmbedding: .normalized, norm: .scaleOnlyLayer, normEpsilon: 1e-5,
            finalNorm: .allTokens, hasAttentionBias: false, hasOutputBias: false, queryKeyNorm: queryKeyNorm)
    }
}

extension ConfigurationReader {
    /// A width and the number of heads, which must divide it.
    func widthAndHeads(
        _ width: String = "hidden_size", _ heads: String = "num_attention_heads", default size: Int = 768,
        heads count: Int = 12
    ) throws -> (size: Int, heads: Int) {
        let size = try integer(width, default: size, in: 1...(1 << 20))
        let count = try integer(heads, default: count, in: 1...4096)
        guard size % count == 0 else { throw failure(heads, "is \(count), which does not divide \(width) \(size)") }
        return (size, count)
    }

    /// The name of an activation function.
    func activation(_ field: String, default fallback: Activation) throws -> Activation {
        let name = try string(field, default: fallback.rawValue)
        guard let activation = Activation(name: name) else { throw failure(field, "'\(name)' is not supported") }
        return activation
    }
}
