public import Foundation

/// A configuration file that cannot be used, and why.
public struct ConfigurationError: Error, Sendable, Hashable, CustomStringConvertible {
    public let file: String
    /// Path of the field, as in `vision_config.depth`; empty for the file as a whole.
    public let field: String
    public let reason: String

    public init(file: String, field: String = "", reason: String) {
        self.file = file
        self.field = field
        self.reason = reason
    }

    public var description: String { field.isEmpty ? "\(file): \(reason)" : "\(file): \(field) \(reason)" }
}

/// A JSON value.
public enum JSONValue: Codable, Sendable, Hashable {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .array(let values): try container.encode(values)
        case .object(let fields): try container.encode(fields)
        }
    }

    /// This value with another in its place; objects are merged field by field, and null takes a field away (RFC 7386).
    public func replaced(by other: JSONValue) -> JSONValue {
        guard case .object(let new) = other else { return other }
        var fields: [String: JSONValue] = [:]
        if case .object(let old) = self { fields = old }
        for (name, value) in new { fields[name] = value == .null ? nil : (fields[name] ?? .null).replaced(by: value) }
        return .object(fields)
    }
}

/// Reads a published configuration field by field, and remembers which fields it read: what is left over and not known
/// to be harmless is an error, because a field that is passed over silently can change the mathematics.
public final class ConfigurationReader {
    public let file: String
    private let path: String
    private let fields: [String: JSONValue]
    private var used: Set<String> = []

    public init(file: String, path: String = "", fields: [String: JSONValue]) {
        self.file = file
        self.path = path
        self.fields = fields
    }

    /// Reads a JSON file whose top level is an object. Configurations are small: 16 MiB is the limit.
    ///
    /// - Parameters:
    ///   - overrides: values to take instead of the file's.
    ///   - changes: an object whose fields are merged into the file's, objects in it too.
    public convenience init(
        contentsOf url: URL, overriding overrides: [String: JSONValue] = [:], merging changes: JSONValue? = nil
    ) throws {
        let name = url.path
        guard let size = try? url.resourceValues(forKeys: [.fileSizeKey]).fileSize else {
            throw ConfigurationError(file: name, reason: "is missing or cannot be read")
        }
        guard size <= 16 << 20 else {
            throw ConfigurationError(file: name, reason: "has \(size) bytes; that is no configuration")
        }
        let data: Data
        do { data = try Data(contentsOf: url) } catch {
            throw ConfigurationError(file: name, reason: "cannot be read: \(error.localizedDescription)")
        }
        try self.init(json: data, file: name, overriding: overrides, merging: changes)
    }

    /// Reads JSON whose top level is an object.
    ///
    /// - Parameter file: stands for it in errors.
    public convenience init(json: String, file: String) throws { try self.init(json: Data(json.utf8), file: file) }

    private convenience init(
        json: Data, file: String, overriding overrides: [String: JSONValue] = [:], merging changes: JSONValue? = nil
    ) throws {
        do {
            var fields = try JSONDecoder().decode([String: JSONValue].self, from: json)
            if let changes, case .object(let merged) = JSONValue.object(fields).replaced(by: changes) {
                fields = merged
            }
            self.init(file: file, fields: fields.merging(overrides) { $1 })
        } catch {
            throw ConfigurationError(file: file, reason: "is not a JSON object; is the file complete?")
        }
    }

    public func failure(_ field: String, _ reason: String) -> ConfigurationError {
        ConfigurationError(file: file, field: path + field, reason: reason)
    }

    /// Whether the field is there and not null.
    public func has(_ field: String) -> Bool {
        if let value = fields[field], value != .null { return true }
        return false
    }

    public func value(_ field: String) -> JSONValue? {
        used.insert(field)
        return fields[field].flatMap { $0 == .null ? nil : $0 }
    }

    /// A whole number in `range`; `fallback` where the field is missing, an error if there is none.
    public func integer(_ field: String, default fallback: Int? = nil, in range: ClosedRange<Int> = 1...(1 << 40))
        throws
        -> Int
    {
        switch value(field) {
        case nil:
            guard let fallback else { throw failure(field, "is missing") }
            return fallback
        case .number(let number)?:
            guard let whole = Int(exactly: number), range.contains(whole) else {
                throw failure(field, "is \(number), not a whole number in \(range)")
            }
            return whole
        default: throw failure(field, "is not a number")
        }
    }

    public func number(_ field: String, default fallback: Double? = nil) throws -> Double {
        switch value(field) {
        case nil:
            guard let fallback else { throw failure(field, "is missing") }
            return fallback
        case .number(let number)? where number.isFinite: return number
        default: throw failure(field, "is not a number")
        }
    }

    public func flag(_ field: String, default fallback: Bool? = nil) throws -> Bool {
        switch value(field) {
        case nil:
            guard let fallback else { throw failure(field, "is missing") }
            return fallback
        case .bool(let flag)?: return flag
        default: throw failure(field, "is not true or false")
        }
    }

    public func string(_ field: String, default fallback: String? = nil) throws -> String {
        switch value(field) {
        case nil:
            guard let fallback else { throw failure(field, "is missing") }
            return fallback
        case .string(let text)?: return text
        default: throw failure(field, "is not a string")
        }
    }

    public func numbers(_ field: String, count: Int? = nil) throws -> [Double]? {
        guard let value = value(field) else { return nil }
        guard case .array(let values) = value else { throw failure(field, "is not a list") }
        let numbers = try values.map { value in
            guard case .number(let number) = value else { throw failure(field, "is not a list of numbers") }
            return number
        }
        if let count, numbers.count != count { throw failure(field, "has \(numbers.count) numbers, not \(count)") }
        return numbers
    }

    public func integers(_ field: String, count: Int? = nil) throws -> [Int]? {
        try numbers(field, count: count)?.map { number in
            guard let whole = Int(exactly: number) else { throw failure(field, "holds \(number), not a whole number") }
            return whole
        }
    }

    /// A nested object; nil where it is missing.
    public func object(_ field: String) throws -> ConfigurationReader? {
        guard let value = value(field) else { return nil }
        guard case .object(let fields) = value else { throw failure(field, "is not an object") }
        return ConfigurationReader(file: file, path: path + field + ".", fields: fields)
    }

    /// Requires that `field`, if there, has the one value that Omma implements.
    public func require(_ field: String, _ only: JSONValue) throws {
        guard let found = value(field), found != only else { return }
        throw failure(field, "is \(found); only \(only) is supported")
    }

    /// Throws if a field was not read and is not among those known to change nothing.
    public func finish(harmless: Set<String>) throws {
        let unknown = fields.keys.filter { !used.contains($0) && !harmless.contains($0) && !$0.hasPrefix("_") }.sorted()
        if let first = unknown.first {
            throw failure(
                first,
                "is not known for this model type"
                    + (unknown.count > 1 ? " (nor are \(unknown.dropFirst().joined(separator: ", ")))" : "")
                    + "; it might change the result, so it is not passed over")
        }
    }

    /// Fields that every Hugging Face configuration may carry and that change nothing in a forward pass.
    public static let bookkeeping: Set<String> = [
        "architectures", "transformers_version", "torch_dtype", "dtype", "use_cache", "model_type", "auto_map",
        "initializer_range", "bos_token_id", "eos_token_id", "pad_token_id", "attention_dropout", "max_window_layers",
        "sliding_window", "output_attentions", "output_hidden_states", "return_dict", "name_or_path", "omma",
    ]

    /// What older libraries wrote into every configuration about generating, labels and other uses of a model.
    public static let generation: Set<String> = [
        "add_cross_attention", "bad_words_ids", "begin_suppress_tokens", "chunk_size_feed_forward",
        "cross_attention_hidden_size", "decoder_start_token_id", "diversity_penalty", "do_sample", "early_stopping",
        "encoder_no_repeat_ngram_size", "exponential_decay_length_penalty", "finetuning_task", "forced_bos_token_id",
        "forced_eos_token_id", "id2label", "is_decoder", "is_encoder_decoder", "label2id", "length_penalty",
        "max_length", "min_length", "no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_return_sequences",
        "output_scores", "prefix", "problem_type", "pruned_heads", "remove_invalid_values", "repetition_penalty",
        "return_dict_in_generate", "sep_token_id", "suppress_tokens", "task_specific_params", "temperature",
        "tf_legacy_loss", "tie_encoder_decoder", "tokenizer_class", "top_k", "top_p", "torchscript", "typical_p",
        "use_bfloat16", "attn_implementation",
    ]
}
