import NN

extension Qwen2VLConfiguration {
    /// The published sizes (specs of Qwen2-VL, section 2.1), by the names that the command line uses.
    public static let presets: [String: Qwen2VLConfiguration] = [
        "qwen2-vl-2b": published(hidden: 1536, inner: 8960, layers: 28, heads: 12, keyValueHeads: 2, tied: true),
        "qwen2-vl-7b": published(
            hidden: 3584, inner: 18944, layers: 28, heads: 28, keyValueHeads: 4, vocabulary: 152064),
        "qwen2-vl-72b": published(
            hidden: 8192, inner: 29568, layers: 80, heads: 64, keyValueHeads: 8, vocabulary: 152064),
    ]

    private static func published(
        hidden: Int, inner: Int, layers: Int, heads: Int, keyValueHeads: Int, vocabulary: Int = 151936,
        tied: Bool = false
    ) -> Qwen2VLConfiguration {
        Qwen2VLConfiguration(
            decoder: DecoderConfiguration(
                vocabularySize: vocabulary, hiddenSize: hidden, feedForwardSize: inner, layers: layers, heads: heads,
                keyValueHeads: keyValueHeads, positions: .multimodal(sections: [16, 24, 24]), hasTiedHead: tied),
            vision: Qwen2VisionTower.Configuration(), imageToken: 151655, videoToken: 151656, visionStartToken: 151652)
    }
}
