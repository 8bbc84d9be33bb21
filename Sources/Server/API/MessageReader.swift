internal import Media
internal import Models
internal import Serving
internal import Text

/// Reads the messages of a chat request into typed parts. Pictures come as data URLs, or were fetched, and stay files.
struct MessageReader {
    let limits: PromptLimits
    /// Files by their addresses; nil where the server fetches nothing.
    let fetched: [String: [UInt8]]?

    /// The messages with their pictures, wherever those come from.
    static func messages(_ request: RequestObject, _ addresses: PictureAddresses) async throws -> [EncodedMessage] {
        let files = addresses.fetcher == nil ? nil : try await addresses.files(request)
        return try MessageReader(limits: addresses.limits, fetched: files).messages(request)
    }

    private func messages(_ request: RequestObject) throws(APIError) -> [EncodedMessage] {
        guard let elements = try request.array("messages", atMost: limits.maxMessages), !elements.isEmpty else {
            throw request.failure("messages", "must hold at least one message")
        }
        var messages: [EncodedMessage] = []
        for (index, element) in elements.enumerated() {
            let object = try RequestObject(element, path: "messages[\(index)]")
            messages.append(try message(object))
        }
        return messages
    }

    private func message(_ object: RequestObject) throws(APIError) -> EncodedMessage {
        try object.allow([
            "role", "content", "name", "refusal", "tool_calls", "tool_call_id", "audio", "function_call", "annotations",
            "boxes",
        ])
        if object.value("audio") != nil { throw object.failure("audio", "is not supported") }
        if object.value("function_call") != nil { throw object.failure("function_call", "is old; send tool_calls") }
        let name = try object.requiredString("role")
        switch name {
        case "system", "developer": return EncodedMessage(.system, try parts(object, allowsMedia: false))
        case "user": return EncodedMessage(.user, try parts(object, allowsMedia: true))
        case "assistant":
            var parts = object.value("content") == nil ? [] : try parts(object, allowsMedia: false)
            let calls = try object.array("tool_calls", atMost: 64) ?? []
            guard !parts.isEmpty || !calls.isEmpty else { throw object.failure("content", "is required") }
            for (index, call) in calls.enumerated() {
                let text = try ToolPrompt.call(RequestObject(call, path: object.pathOf("tool_calls[\(index)]")))
                parts.append(.text((parts.isEmpty ? "" : "\n") + text))
            }
            return EncodedMessage(.assistant, parts)
        case "tool":
            // Qwen's format: what a tool said comes from the user's side.
            return EncodedMessage(.user, ToolPrompt.response(try parts(object, allowsMedia: true)))
        default: throw object.failure("role", "must be system, developer, user, assistant or tool")
        }
    }

    private func parts(_ object: RequestObject, allowsMedia: Bool) throws(APIError) -> [EncodedMessage.Part] {
        guard let content = object.value("content") else { throw object.failure("content", "is required") }
        if case .string(let text) = content { return [.text(text)] }
        guard case .array(let elements) = content else {
            throw object.failure("content", "must be a string or an array of parts")
        }
        guard elements.count <= 1024 else { throw object.failure("content", "has more than 1024 parts") }
        var parts: [EncodedMessage.Part] = []
        for (index, element) in elements.enumerated() {
            let part = try RequestObject(element, path: object.pathOf("content[\(index)]"))
            let type = try part.requiredString("type")
            switch type {
            case "text": parts.append(.text(try part.requiredString("text")))
            case "refusal": parts.append(.text(try part.requiredString("refusal")))
            case "image_url" where allowsMedia:
                guard let image = try part.object("image_url") else { throw part.failure("image_url", "is required") }
                try image.allow(["url", "detail"])
                if let detail = try image.string("detail"), !["auto", "low", "high"].contains(detail) {
                    throw image.failure("detail", "must be auto, low or high")
                }
                parts.append(.image(try file(image.requiredString("url"), image.pathOf("url"))))
            case "video" where allowsMedia:
                try part.allow(["type", "video", "fps"])
                guard let frames = try part.array("video", atMost: limits.maxPictures), !frames.isEmpty else {
                    throw part.failure("video", "must be an array of frames, each a data URL of a picture")
                }
                var files: [[UInt8]] = []
                for (index, frame) in frames.enumerated() {
                    guard case .string(let url) = frame else {
                        throw part.failure("video[\(index)]", "must be a data URL of a picture")
                    }
                    files.append(try file(url, part.pathOf("video[\(index)]")))
                }
                let rate = try part.number("fps", in: 0.01...1000) ?? 2
                parts.append(.video(frames: files, framesPerSecond: rate))
            case "image_url", "video":
                throw part.failure("type", "is \(type), which only user and tool messages may hold")
            default: throw part.failure("type", "must be text, image_url or video")
            }
        }
        return parts
    }

    /// The bytes of a data URL, or those that were fetched.
    private func file(_ url: String, _ path: String) throws(APIError) -> [UInt8] {
        if let file = fetched?[url] { return file }
        guard DataURL.isOne(url) else {
            let rest =
                fetched == nil
                ? "(data:image/png;base64,…); this server fetches nothing from elsewhere"
                : "(data:image/png;base64,…), or an http or https address"
            throw .invalid("\(path) must be a data URL \(rest)", path, code: "unsupported_url")
        }
        guard let data = DataURL(url) else {
            throw .invalid("\(path) must be a data URL in base64", path, code: "invalid_url")
        }
        guard data.base64.count <= (limits.maxPictureBytes + 2) / 3 * 4 + 4 else {
            throw .invalid(
                "\(path) holds more than the \(limits.maxPictureBytes) bytes that a picture may have", path,
                code: "invalid_image")
        }
        guard let bytes = data.decoded() else { throw .invalid("\(path) is not base64", path, code: "invalid_url") }
        return bytes
    }
}
