import Foundation
import Goldens
import Media
import Models

/// Conversations as Qwen-VL's reference takes them: text in which `Picture 1:<img>path</img>` and a newline stand for a
/// picture.
enum QwenVLDialogue {
    static func messages(_ golden: GoldenJSON, picture: (String) throws -> Image) throws -> Conversation {
        if let query = golden["query"].string {
            let history = try (golden["history"].array ?? []).flatMap { turn in
                [
                    Message(.user, try parts(turn[0].string ?? "", picture)),
                    Message(.assistant, turn[1].string ?? ""),
                ]
            }
            return history + [Message(.user, try parts(query, picture))]
        }
        let text = golden["raw_text"].string ?? ""
        if golden["raw"].bool == true { return [Message(.user, try parts(text, picture))] }
        return try text.split(separator: "<|im_start|>").map { turn in
            let role = turn.prefix { $0 != "\n" }
            let content = turn.dropFirst(role.count + 1)
            let end = content.range(of: "<|im_end|>")?.lowerBound ?? content.endIndex
            return Message(Role(rawValue: String(role)) ?? .user, try parts(String(content[..<end]), picture))
        }
    }

    private static func parts(_ text: String, _ picture: (String) throws -> Image) throws -> [Part] {
        var parts: [Part] = []
        var rest = Substring(text)
        while let match = rest.firstMatch(of: /Picture [0-9]+:<img>([^<]*)<\/img>\n/) {
            let before = String(rest[..<match.range.lowerBound])
            if !before.isEmpty { parts.append(.text(before)) }
            parts.append(.image(try picture(String(match.output.1))))
            rest = rest[match.range.upperBound...]
        }
        if !rest.isEmpty { parts.append(.text(String(rest))) }
        return parts
    }
}
