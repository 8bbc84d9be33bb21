/// InternVL2 (`internvl2.md`): tiles of 448 through InternViT, pixel shuffle, two layers, tokens in the sequence of an
/// InternLM2, Qwen2, Phi-3, Yi or Llama decoder.
extension ModelDesign {
    /// Reads `model_type` `internvl_chat`.
    public init(internVL reader: ConfigurationReader) throws {
        let common = try TiledConfiguration(reader, maxTiles: 6, isDynamic: false)
        if common.tiles == 1...1 { try reader.require("pad2square", .bool(false)) }
        guard let format = Self.internVLPrompts[common.template] else {
            throw reader.failure(
                "template",
                "is '\(common.template)'; supported are \(Self.internVLPrompts.keys.sorted().joined(separator: ", "))")
        }
        try reader.finish(harmless: TiledConfiguration.harmless.union(["pad2square"]))
        self.init(decoder: common.decoder, decoderPrefix: "language_model", prompt: format)
        prompt.marks = ["<ref>", "</ref>", "<box>", "</box>", "<quad>", "</quad>"]
        vision = common.vision(common.connector(hiddenSize: common.decoder.hiddenSize))
        imagePolicy = common.imagePolicy
        readPreprocessor = TiledConfiguration.readPreprocessor
        var placement = PicturePlacement(before: "<img>", after: "</img>", placeholder: "<IMG_CONTEXT>")
        placement.addsNewline = true
        placement.frameLabel = "Frame"
        self.placement = placement
    }

    /// `conversation.py` of internvl_chat. InternVL2 keeps the older system message on purpose.
    private static let internVLPrompts: [String: PromptFormat] = {
        let first = "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。"
        let second = "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、清华大学及多家合作单位联合开发的多模态大语言模型。"
        return [
            "Hermes-2": .chatML(separator: "", system: first),
            "internlm2-chat": .chatML(separator: "", system: first),
            "phi3-chat": .phi3(system: first),
            "internvl2_5": .chatML(separator: "\n", system: second),
        ]
    }()
}
