import Foundation

extension TrainedVocabulary {
    /// Qwen2-VL's chat template (`tokenizer_config.json` of the released models).
    public static let qwen2VLChatTemplate = [
        "{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}",
        "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system\n",
        "You are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n",
        "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n{% else %}",
        "{% for content in message['content'] %}{% if content['type'] == 'image' or 'image' in content or ",
        "'image_url' in content %}{% set image_count.value = image_count.value + 1 %}{% if add_vision_id %}",
        "Picture {{ image_count.value }}: {% endif %}<|vision_start|><|image_pad|><|vision_end|>",
        "{% elif content['type'] == 'video' or 'video' in content %}",
        "{% set video_count.value = video_count.value + 1 %}{% if add_vision_id %}",
        "Video {{ video_count.value }}: {% endif %}<|vision_start|><|video_pad|><|vision_end|>",
        "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}",
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    ].joined()

    /// Writes a folder that this program and Hugging Face's `Qwen2TokenizerFast` load: `tokenizer.json`,
    /// `tokenizer_config.json`, `vocab.json`, `merges.txt`, `added_tokens.json` and `special_tokens_map.json`.
    ///
    /// - Parameter chatTemplate: goes into `tokenizer_config.json`.
    /// - Throws: `TokenizerError.unreadable` if a file cannot be written.
    public func write(
        to directory: String, chatTemplate: String = TrainedVocabulary.qwen2VLChatTemplate
    ) throws(TokenizerError) {
        do {
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        } catch {
            throw .unreadable(file: directory, reason: error.localizedDescription)
        }
        let spelled = tokens.map { ByteAlphabet.encode($0) }
        let lines = merges.map { spelled[Int($0.left)] + [0x20] + spelled[Int($0.right)] }
        let files: [(String, [UInt8])] = [
            ("tokenizer.json", tokenizerJSON(spelled, lines)),
            ("tokenizer_config.json", configurationJSON(chatTemplate)),
            ("vocab.json", JSONWriter.object(spelled.enumerated().map { ($1, JSONWriter.number($0)) }, indent: 0)),
            ("merges.txt", Array("#version: 0.2\n".utf8) + lines.flatMap { $0 + [0x0A] }),
            ("added_tokens.json", addedTokensJSON),
            ("special_tokens_map.json", specialTokensMapJSON),
        ]
        for (name, bytes) in files {
            do {
                let path = (directory as NSString).appendingPathComponent(name)
                try Data(bytes).write(to: URL(fileURLWithPath: path), options: .atomic)
            } catch {
                throw .unreadable(file: name, reason: error.localizedDescription)
            }
        }
    }

    /// The trained tokenizer itself, as if it had been written and loaded.
    public func tokenizer() throws(TokenizerError) -> Tokenizer {
        let spelled = tokens.map { ByteAlphabet.encode($0) }
        let lines = merges.map { spelled[Int($0.left)] + [0x20] + spelled[Int($0.right)] }
        let root = try JSONParser.parse(tokenizerJSON(spelled, lines), file: "tokenizer.json")
        let configuration = try JSONParser.parse(
            configurationJSON(TrainedVocabulary.qwen2VLChatTemplate), file: "tokenizer_config.json")
        return try Tokenizer(
            json: JSONField(node: root, path: ""),
            configuration: TokenizerConfiguration(
                JSONField(node: configuration, path: ""), specialTokensMap: nil, addedTokens: nil))
    }

    private func tokenizerJSON(_ spelled: [[UInt8]], _ lines: [[UInt8]]) -> [UInt8] {
        typealias W = JSONWriter
        let added = specialTokens.enumerated().map { index, token in
            W.object([("id", W.number(tokens.count + index)), ("content", W.string(token))] + Self.flags, indent: nil)
        }
        let model = W.object(
            [
                ("type", W.string("BPE")), ("dropout", W.null), ("unk_token", W.null),
                ("continuing_subword_prefix", W.null), ("end_of_word_suffix", W.null), ("fuse_unk", W.bool(false)),
                ("byte_fallback", W.bool(false)), ("ignore_merges", W.bool(false)),
                ("vocab", W.object(spelled.enumerated().map { ($1, W.number($0)) }, indent: 2)),
                ("merges", W.list(lines.map { W.string($0) }, indent: 2)),
            ], indent: 1)
        func byteLevel(prefix: Bool, trim: Bool, expression: Bool) -> [UInt8] {
            W.object(
                [
                    ("type", W.string("ByteLevel")), ("add_prefix_space", W.bool(prefix)),
                    ("trim_offsets", W.bool(trim)), ("use_regex", W.bool(expression)),
                ], indent: nil)
        }
        let split = W.object(
            [
                ("type", W.string("Split")),
                ("pattern", W.object([("Regex", W.string(WordScanner.qwen2Pattern))], indent: nil)),
                ("behavior", W.string("Isolated")), ("invert", W.bool(false)),
            ], indent: nil)
        let cut = W.list([split, byteLevel(prefix: false, trim: true, expression: false)], indent: nil)
        return W.object(
            [
                ("version", W.string("1.0")), ("truncation", W.null), ("padding", W.null),
                ("added_tokens", W.list(added, indent: 1)),
                ("normalizer", W.object([("type", W.string("NFC"))], indent: nil)),
                ("pre_tokenizer", W.object([("type", W.string("Sequence")), ("pretokenizers", cut)], indent: nil)),
                ("post_processor", byteLevel(prefix: true, trim: false, expression: true)),
                ("decoder", byteLevel(prefix: true, trim: true, expression: true)), ("model", model),
            ], indent: 0)
    }

    private static let flags: [(String, [UInt8])] =
        [
            "single_word", "lstrip", "rstrip", "normalized",
        ].map { ($0, JSONWriter.bool(false)) } + [("special", JSONWriter.bool(true))]

    /// The end of an answer, and what fills rows, by Qwen2-VL's names where the vocabulary has them.
    private var endToken: String? { specialTokens.first { $0 == "<|im_end|>" } ?? specialTokens.first }
    private var padToken: String? { specialTokens.first { $0 == "<|endoftext|>" } ?? specialTokens.first }

    private var additionalTokens: [String] { specialTokens.filter { $0 != "<|endoftext|>" } }

    private func configurationJSON(_ chatTemplate: String) -> [UInt8] {
        typealias W = JSONWriter
        let decoder = specialTokens.enumerated().map { index, token in
            (String(tokens.count + index), W.object([("content", W.string(token))] + Self.flags, indent: nil))
        }
        return W.object(
            [
                ("add_prefix_space", W.bool(false)), ("added_tokens_decoder", W.object(decoder, indent: 1)),
                ("additional_special_tokens", W.list(additionalTokens.map { W.string($0) }, indent: 1)),
                ("bos_token", W.null), ("chat_template", W.string(chatTemplate)),
                ("clean_up_tokenization_spaces", W.bool(false)), ("eos_token", W.optional(endToken)),
                ("errors", W.string("replace")), ("model_max_length", W.number(32768)),
                ("pad_token", W.optional(padToken)), ("split_special_tokens", W.bool(false)),
                ("tokenizer_class", W.string("Qwen2Tokenizer")), ("unk_token", W.null),
            ], indent: 0)
    }

    private var addedTokensJSON: [UInt8] {
        JSONWriter.object(
            specialTokens.enumerated().map { ($1, JSONWriter.number(tokens.count + $0)) }, indent: 0)
    }

    private var specialTokensMapJSON: [UInt8] {
        typealias W = JSONWriter
        return W.object(
            [
                ("additional_special_tokens", W.list(additionalTokens.map { W.string($0) }, indent: 1)),
                ("eos_token", W.optional(endToken)), ("pad_token", W.optional(padToken)),
            ], indent: 0)
    }
}

/// Writes JSON whose strings are bytes, and whose members stay in order.
enum JSONWriter {
    static let null = Array("null".utf8)
    static func bool(_ value: Bool) -> [UInt8] { Array((value ? "true" : "false").utf8) }
    static func number(_ value: Int) -> [UInt8] { Array(String(value).utf8) }
    static func string(_ value: String) -> [UInt8] { string(Array(value.utf8)) }
    static func optional(_ value: String?) -> [UInt8] { value.map { string($0) } ?? null }

    static func string(_ value: [UInt8]) -> [UInt8] {
        var result = [UInt8(ascii: "\"")]
        let digits = Array("0123456789abcdef".utf8)
        for byte in value {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): result += [UInt8(ascii: "\\"), byte]
            case 0x0A: result += Array("\\n".utf8)
            case 0..<0x20: result += Array("\\u00".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            default: result.append(byte)
            }
        }
        return result + [UInt8(ascii: "\"")]
    }

    /// - Parameter indent: the depth of the object; `nil` puts it on one line.
    static func object(_ members: [(String, [UInt8])], indent: Int?) -> [UInt8] {
        object(members.map { (Array($0.0.utf8), $0.1) }, indent: indent)
    }

    static func object(_ members: [([UInt8], [UInt8])], indent: Int?) -> [UInt8] {
        lines(members.map { string($0.0) + Array(": ".utf8) + $0.1 }, UInt8(ascii: "{"), UInt8(ascii: "}"), indent)
    }

    static func list(_ items: [[UInt8]], indent: Int?) -> [UInt8] {
        lines(items, UInt8(ascii: "["), UInt8(ascii: "]"), indent)
    }

    private static func lines(_ items: [[UInt8]], _ open: UInt8, _ close: UInt8, _ indent: Int?) -> [UInt8] {
        if items.isEmpty { return [open, close] }
        func newline(_ depth: Int) -> [UInt8] { [0x0A] + [UInt8](repeating: 0x20, count: 2 * depth) }
        var result = [open]
        for (index, item) in items.enumerated() {
            if index > 0 { result += indent == nil ? Array(", ".utf8) : [UInt8(ascii: ",")] }
            if let indent { result += newline(indent + 1) }
            result += item
        }
        if let indent { result += newline(indent) }
        return result + [close]
    }
}
