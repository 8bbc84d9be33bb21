internal import Models
internal import Text

extension ConversationRow {
    /// Why a row is not understood.
    struct Mistake: Error {
        var reason: String
    }

    /// Reads a row in one of the formats that fine-tuning data comes in:
    ///
    /// - `messages` with `role` and `content`, a text with `<image>` and `<video>` marks or a list of typed parts, and
    ///   `images` and `videos` (Qwen2-VL's, and OpenAI's with `image_url` parts);
    /// - `conversations` with `from` and `value`, and `image` or `images` (LLaVA's, ShareGPT's).
    ///
    /// Marks count in texts of users and of the system only: what an assistant writes is learned as it stands.
    init(_ json: OrderedJSON, unmarked: UnmarkedPictures) throws(Mistake) {
        guard case .object = json else { throw Mistake(reason: "is no object") }
        var turns: [Turn] = []
        if let messages = json["messages"] {
            turns = try Self.turns(messages, name: "messages", role: "role", content: "content")
        } else if let messages = json["conversations"] {
            turns = try Self.turns(messages, name: "conversations", role: "from", content: "value")
        } else {
            throw Mistake(
                reason: "has neither 'messages' nor 'conversations'; it has \(json.keys.joined(separator: ", "))")
        }
        if case .string(let system)? = json["system"], !system.isEmpty, turns.first?.role != .system {
            turns.insert(Turn(.system, [.text(system)]), at: 0)
        }
        try Self.place(
            try Self.names(json, ["images", "image"]), mark: "<image>", as: Part.image, in: &turns, unmarked)
        try Self.place(
            try Self.names(json, ["videos", "video"]), mark: "<video>", as: Part.video, in: &turns, unmarked)
        guard turns.contains(where: { $0.role == .assistant }) else {
            throw Mistake(reason: "has no turn of the assistant, so there is nothing to learn")
        }
        self.turns = turns
        switch json["id"] {
        case .string(let text)?: id = text
        case .int(let number)?: id = String(number)
        default: id = nil
        }
    }

    private static let roles: [String: Role] = [
        "system": .system, "user": .user, "human": .user, "assistant": .assistant, "gpt": .assistant,
        "model": .assistant,
        "bot": .assistant, "tool": .tool, "function": .tool, "observation": .tool,
    ]

    private static func turns(
        _ list: OrderedJSON, name: String, role roleKey: String, content contentKey: String
    ) throws(Mistake) -> [Turn] {
        guard case .array(let elements) = list, !elements.isEmpty else {
            throw Mistake(reason: "'\(name)' must be a list of turns")
        }
        var turns: [Turn] = []
        for (index, element) in elements.enumerated() {
            let place = "\(name)[\(index)]"
            guard case .string(let roleName)? = element[roleKey], let role = roles[roleName] else {
                throw Mistake(
                    reason: "'\(place).\(roleKey)' must be one of \(roles.keys.sorted().joined(separator: ", "))")
            }
            switch element[contentKey] {
            case .string(let text)?: turns.append(Turn(role, [.text(text)]))
            case .array(let parts)?:
                var typed: [Part] = []
                for (number, part) in parts.enumerated() {
                    typed.append(try Self.part(part, place: "\(place).\(contentKey)[\(number)]"))
                }
                turns.append(Turn(role, typed))
            default: throw Mistake(reason: "'\(place).\(contentKey)' must be a text or a list of parts")
            }
        }
        return turns
    }

    private static func part(_ json: OrderedJSON, place: String) throws(Mistake) -> Part {
        if case .string(let text) = json { return .text(text) }
        guard case .string(let type)? = json["type"] else { throw Mistake(reason: "'\(place)' has no 'type'") }
        func value(_ keys: String...) throws(Mistake) -> String {
            for key in keys {
                if case .string(let text)? = json[key] { return text }
                if case .string(let text)? = json[key]?["url"] { return text }
            }
            throw Mistake(reason: "'\(place)' has no '\(keys[0])'")
        }
        switch type {
        case "text": return .text(try value("text"))
        case "image", "image_url": return .image(try value("image", "image_url", "path", "url"))
        case "video", "video_url": return .video(try value("video", "video_url", "path", "url"))
        default: throw Mistake(reason: "'\(place).type' is '\(type)'; use text, image or video")
        }
    }

    private static func names(_ json: OrderedJSON, _ keys: [String]) throws(Mistake) -> [String] {
        for key in keys {
            switch json[key] {
            case nil, .null?: continue
            case .string(let name)?: return [name]
            case .array(let values)?:
                var names: [String] = []
                for (index, value) in values.enumerated() {
                    if case .string(let name) = value {
                        names.append(name)
                    } else if case .string(let name)? = value["path"] ?? value["url"] {
                        names.append(name)
                    } else {
                        throw Mistake(reason: "'\(key)[\(index)]' must be a path")
                    }
                }
                return names
            default: throw Mistake(reason: "'\(key)' must be a path or a list of paths")
            }
        }
        return []
    }

    /// Puts the row's pictures where the marks are, in their order.
    private static func place(
        _ names: [String], mark: String, as part: (String) -> Part, in turns: inout [Turn], _ unmarked: UnmarkedPictures
    ) throws(Mistake) {
        guard !names.isEmpty else { return }
        var rest = names[...]
        var marks = 0
        var placed = turns
        for index in turns.indices where [.user, .system, .tool].contains(turns[index].role) {
            var parts: [Part] = []
            for old in turns[index].parts {
                guard case .text(let text) = old else {
                    parts.append(old)
                    continue
                }
                var left = Substring(text)
                while let range = left.firstRange(of: mark) {
                    marks += 1
                    if range.lowerBound > left.startIndex { parts.append(.text(String(left[..<range.lowerBound]))) }
                    if let name = rest.popFirst() { parts.append(part(name)) }
                    left = left[range.upperBound...]
                }
                if !left.isEmpty || parts.isEmpty { parts.append(.text(String(left))) }
            }
            placed[index].parts = parts
        }
        if marks == names.count {
            turns = placed
            return
        }
        let what = mark.dropFirst().dropLast()
        guard marks == 0 else {
            throw Mistake(
                reason: "has \(names.count) \(what)(s) and \(marks) \(mark) mark(s); every mark stands for one")
        }
        switch unmarked {
        case .error:
            throw Mistake(
                reason:
                    "has \(names.count) \(what)(s) and no \(mark) mark; write the mark where each stands, or choose to "
                    + "prepend or drop unmarked pictures")
        case .drop: return
        case .prepend:
            guard let first = turns.firstIndex(where: { $0.role == .user }) else {
                throw Mistake(reason: "has pictures and no turn of the user")
            }
            turns[first].parts.insert(contentsOf: names.map(part), at: 0)
        }
    }
}

extension OrderedJSON {
    fileprivate subscript(key: String) -> OrderedJSON? {
        guard case .object(let members) = self else { return nil }
        return members.last { $0.key == key }?.value
    }

    fileprivate var keys: [String] {
        guard case .object(let members) = self else { return [] }
        return members.map(\.key)
    }
}
