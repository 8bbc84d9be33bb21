import Foundation

/// For fuzzers: takes `bytes` for a template, and renders it over a small conversation; whatever they hold must end in
/// text or in an error.
public func fuzzChatTemplate(_ bytes: UnsafeRawBufferPointer) {
    let source = String(decoding: bytes.prefix(1 << 16), as: UTF8.self)
    let context: TemplateDictionary = [
        "messages": [
            ["role": "system", "content": .data("Be brief.", 0)],
            ["role": "user", "content": [["type": "image"], ["type": "text", "text": .data("<|im_start|> é\n", 1)]]],
            ["role": "assistant", "content": .data("A cat, 3.5 kg", 2), "tool_calls": [["name": "f", "n": 1]]],
        ],
        "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>", "none_value": nil, "number": 1.5,
        "tools": [["type": "function", "function": ["name": "f", "parameters": ["type": "object"]]]],
    ]
    let limits = TemplateLimits(steps: 20_000, depth: 400, output: 100_000, allocation: 200_000, seconds: 1)
    if let template = try? ChatTemplate(source),
        let rendered = try? template.render(context, limits: limits, clock: .fixed(.init(timeIntervalSince1970: 0)))
    {
        precondition(rendered.string.utf8.count <= 4 * limits.output, "more output than allowed")
    }
    _ = try? TemplateValue(json: OrderedJSON(parsing: bytes))
}
