internal import NN

extension Qwen2VisionTower.Configuration {
    /// Reads the released `vision_config`.
    ///
    /// - Parameter decoderSize: the decoder's hidden size, which the file repeats.
    init(_ reader: ConfigurationReader, decoderSize: Int) throws {
        let size = try reader.integer("embed_dim", default: 1280), heads = try reader.integer("num_heads", default: 16)
        guard size % heads == 0, size / heads % 4 == 0 else {
            throw reader.failure("num_heads", "is \(heads); embed_dim \(size) must split into heads of a multiple of 4")
        }
        let output = try reader.integer("hidden_size", default: decoderSize)
        guard output == decoderSize else {
            throw reader.failure("hidden_size", "is \(output), but the decoder's hidden_size is \(decoderSize)")
        }
        let ratio = try reader.number("mlp_ratio", default: 4)
        let patch = try reader.integer("patch_size", default: 14, in: 1...256)
        if reader.has("spatial_patch_size"), try reader.integer("spatial_patch_size") != patch {
            throw reader.failure("spatial_patch_size", "differs from patch_size \(patch)")
        }
        let channels = try reader.integer(reader.has("in_chans") ? "in_chans" : "in_channels", default: 3)
        guard channels == 3 else { throw reader.failure("in_channels", "is \(channels); pictures have 3 channels") }
        self.init(
            hiddenSize: size, layers: try reader.integer("depth", default: 32), heads: heads,
            feedForwardSize: Int(Double(size) * ratio), patchSize: patch,
            temporalPatchSize: try reader.integer("temporal_patch_size", default: 2, in: 1...64), channels: channels,
            mergeSize: try reader.integer("spatial_merge_size", default: 2, in: 1...16),
            activation: try reader.activation("hidden_act", default: .quickGelu))
        try reader.finish(harmless: ConfigurationReader.bookkeeping.union(["in_chans", "in_channels"]))
    }
}
