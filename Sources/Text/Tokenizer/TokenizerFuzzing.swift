/// Feeds bytes to the reader of `tokenizer.json` and, if they make a tokenizer, texts and ids to that: for fuzzing.
///
/// Whatever the bytes are, this returns; what is wrong with them stays inside.
///
/// - Returns: whether the bytes made a tokenizer.
public func fuzzTokenizerJSON(_ bytes: [UInt8]) -> Bool {
    guard let tokenizer = try? Tokenizer(json: bytes) else { return false }
    let texts = [
        "", " a  <|im_start|>user\n12345 don't<|im_end|>", "e\u{301}\u{1100}\u{1161} \u{FF76}\u{FF9E} 中文。😀\u{200D}👩",
        "\u{0}\r\n\t ▁##</w><0x41>",
        String(repeating: "ab ", count: 40),
    ]
    for text in texts {
        if let ids = try? tokenizer.encode(text, addSpecialTokens: true) { _ = try? tokenizer.decode(ids) }
        var tagged = TaggedText(text, .template)
        tagged.append(text, .data(0))
        _ = try? tokenizer.encode(tagged)
    }
    for id in [Int32.min, -1, 0, 1, Int32(clamping: tokenizer.vocabularySize), .max] {
        _ = try? tokenizer.decode([id], skipSpecialTokens: true)
        _ = tokenizer.token(for: id)
        _ = tokenizer.isSpecial(id)
    }
    let ids = (0..<Int32(clamping: min(tokenizer.vocabularySize, 600))).filter { tokenizer.token(for: $0) != nil }
    _ = try? tokenizer.decode(ids)
    return true
}
