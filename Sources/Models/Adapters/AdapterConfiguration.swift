public import Foundation
public import NN

/// `adapter_config.json` as PEFT writes it for LoRA.
public struct AdapterConfiguration: Sendable, Hashable {
    public var settings: LowRankAdapters.Settings
    /// The checkpoint that the adapter was trained on: a folder, or a name that a hub knows.
    public var base: String?

    public init(settings: LowRankAdapters.Settings, base: String?) {
        self.settings = settings
        self.base = base
    }

    static let file = "adapter_config.json"

    /// Reads the file of a folder. What would change the mathematics and is not done here is an error.
    public init(folder: URL) throws {
        let reader = try ConfigurationReader(contentsOf: folder.appending(path: Self.file))
        try reader.require("peft_type", .string("LORA"))
        base = reader.has("base_model_name_or_path") ? try reader.string("base_model_name_or_path") : nil
        settings = LowRankAdapters.Settings(
            rank: try reader.integer("r", in: 1...65536), alpha: try reader.number("lora_alpha"),
            dropout: try reader.number("lora_dropout", default: 0),
            isRankStabilized: try reader.flag("use_rslora", default: false),
            isWeightDecomposed: try reader.flag("use_dora", default: false))
        guard 0..<1 ~= settings.dropout else { throw reader.failure("lora_dropout", "is \(settings.dropout)") }
        for field in ["fan_in_fan_out", "lora_bias", "use_qalora"] {
            try reader.require(field, .bool(false))
        }
        try reader.require("bias", .string("none"))
        for field in [
            "modules_to_save", "layer_replication", "trainable_token_indices", "alora_invocation_tokens",
            "target_parameters", "arrow_config", "use_bdlora", "kasa_config", "velora_config", "monteclora_config",
        ] where reader.has(field) && reader.value(field) != .array([]) {
            throw reader.failure(field, "is not supported; merge the adapter with PEFT, and take the merged checkpoint")
        }
        // Ranks are those of the matrices; how each is scaled would have to be looked up.
        if let pattern = reader.value("alpha_pattern"), pattern != .object([:]) {
            throw reader.failure("alpha_pattern", "is not supported; merge the adapter with PEFT")
        }
        if let start = reader.value("init_lora_weights"),
            ![.bool(true), .bool(false), .string("gaussian"), .string("orthogonal"), .string("eva")].contains(start)
        {
            throw reader.failure(
                "init_lora_weights", "changes the base's weights; convert the adapter to a plain one with PEFT")
        }
    }

    /// The file as PEFT reads it.
    ///
    /// - Parameter layers: the adapted layers by the names that the reference library gives them.
    func json(layers: [String]) throws -> Data {
        let fields: [String: Any] = [
            "peft_type": "LORA", "r": settings.rank, "lora_alpha": settings.alpha, "lora_dropout": settings.dropout,
            "use_rslora": settings.isRankStabilized, "bias": "none", "fan_in_fan_out": false,
            "use_dora": settings.isWeightDecomposed,
            "inference_mode": true, "init_lora_weights": true, "target_modules": layers.sorted(),
            "base_model_name_or_path": base ?? NSNull(), "modules_to_save": NSNull(), "task_type": NSNull(),
            "rank_pattern": [String: Int](), "alpha_pattern": [String: Double](), "revision": NSNull(),
        ]
        return try JSONSerialization.data(
            withJSONObject: fields, options: [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes])
    }
}
