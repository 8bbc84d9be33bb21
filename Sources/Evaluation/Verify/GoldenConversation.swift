import Foundation
import Goldens
import Media
import Models

/// The conversation of a golden case, with its pictures from the folder.
struct GoldenConversation {
    let messages: Conversation
    let options: ProcessingOptions
    /// The case's own limits of tiles and of a picture's pixels.
    let maxTiles: Int?
    let maxPixels: Int?

    /// Whether a case holds a conversation, as messages or as a question with a history.
    static func isConversation(_ golden: GoldenJSON) -> Bool {
        golden["messages"].array != nil || golden["question"].string != nil || golden["query"].string != nil
            || golden["raw_text"].string != nil
    }

    /// The tokens of a case whose text the golden does not give whole.
    private let ids: [Int32]?

    init(_ golden: GoldenJSON, folder: URL) throws {
        var pictures = GoldenPictures(golden, folder: folder)
        if golden["query"].string != nil || golden["raw_text"].string != nil {
            (maxTiles, maxPixels) = (nil, nil)
            let isCut = golden["raw_text"].string?.hasSuffix("...") == true
            ids = isCut ? golden["input_ids"].ints?.map { Int32(clamping: $0) } : nil
            messages = try QwenVLDialogue.messages(golden) { try pictures.next($0) }
            options = ProcessingOptions(
                addGenerationPrompt: golden["labels"].isNull, isRaw: golden["raw"].bool == true,
                pictureNames: golden["images_in_order"].strings ?? [])
            return
        }
        ids = nil
        messages =
            golden["question"].isNull
            ? try (golden["messages"].array ?? []).map { try Self.message($0, &pictures, folder) }
            : try Self.dialogue(golden, &pictures)
        var variables = (golden["template_kwargs"].object ?? [:]).compactMapValues(\.bool)
        // Training cases hold whole conversations; the others ask for an answer.
        let prompt = variables.removeValue(forKey: "add_generation_prompt") ?? golden["labels"].isNull
        options = ProcessingOptions(
            addGenerationPrompt: prompt, templateVariables: variables,
            isRaw: golden["mode"].string == "chat_without_chat_prompt")
        maxTiles = golden["max_num"].int.flatMap { $0 > 0 ? $0 : nil }
        maxPixels =
            (golden["messages"].array ?? []).flatMap { $0["content"].array ?? [] }
            .compactMap { $0["max_pixels"].int }.first
    }

    func process(_ processor: any ConversationProcessor) throws -> ProcessedSequence {
        if let ids { return ProcessedSequence(ids: ids) }
        let tiled = try maxTiles.map { try processor.limitingTiles($0) } ?? processor
        return try tiled.limitingPixels(min: nil, max: maxPixels).process(messages, options)
    }

    private static func message(
        _ json: GoldenJSON, _ pictures: inout GoldenPictures, _ folder: URL
    ) throws -> Message {
        guard let role = json["role"].string.flatMap(Role.init(rawValue:)) else {
            throw GoldenError(file: folder.path, fault: "a message has no role")
        }
        if let text = json["content"].string { return Message(role, text) }
        return Message(
            role,
            try (json["content"].array ?? []).map { json in
                switch json["type"].string {
                case "image": .image(try pictures.next(json["image"].string))
                case "video": .video(try pictures.video())
                default: .text(json["text"].string ?? "")
                }
            })
    }

    /// A system message, pairs of questions and answers, a question, and perhaps its answer. `<image>` marks pictures.
    private static func dialogue(_ golden: GoldenJSON, _ pictures: inout GoldenPictures) throws -> Conversation {
        var messages: Conversation = []
        if let system = golden["system_message"].string { messages.append(Message(.system, system)) }
        if golden["mode"].string == "chat_without_sys_prompt" { messages.append(Message(.system, "")) }
        func question(_ text: String, _ pictures: inout GoldenPictures) throws -> Message {
            var parts: [Part] = []
            for (index, piece) in text.split(separator: "<image>", omittingEmptySubsequences: false).enumerated() {
                if index > 0 { parts.append(.image(try pictures.next(nil))) }
                if !piece.isEmpty { parts.append(.text(String(piece))) }
            }
            return Message(.user, parts)
        }
        for turn in golden["history"].array ?? [] {
            messages.append(try question(turn[0].string ?? "", &pictures))
            messages.append(Message(.assistant, turn[1].string ?? ""))
        }
        messages.append(try question(golden["question"].string ?? "", &pictures))
        if let answer = golden["answer"].string { messages.append(Message(.assistant, answer)) }
        return messages
    }
}

/// The pictures of a case, in its order.
private struct GoldenPictures {
    private let folder: URL
    private let frames: [String]
    private var names: ArraySlice<String>

    init(_ golden: GoldenJSON, folder: URL) {
        self.folder = folder
        frames = golden["video_frames"].strings ?? []
        names = (golden["images_in_order"].strings ?? [])[...]
    }

    /// The next picture, or the one of this name where the case has no list.
    mutating func next(_ name: String?) throws -> Image {
        guard let file = names.popFirst() ?? name else {
            throw GoldenError(file: folder.path, fault: "a case names no file for a picture")
        }
        return try picture(file)
    }

    func video() throws -> Video { Video(frames: try frames.map(picture), framesPerSecond: 2) }

    private func picture(_ file: String) throws -> Image {
        let file = file.hasPrefix("images/") ? String(file.dropFirst(7)) : file
        // JPEG decoders may differ by a grey level; the reference's own decoding rules that out.
        let decoded = folder.appending(
            path: "images/decoded/\(file.split(separator: ".").dropLast().joined(separator: ".")).rgb.png")
        let path =
            FileManager.default.fileExists(atPath: decoded.path) ? decoded : folder.appending(path: "images/\(file)")
        return try Image(contentsOf: path.path, policy: .asPillow)
    }
}
