import Foundation
import Goldens
import Media
import Models

/// The conversation of a golden case, with its pictures from the folder.
struct GoldenConversation {
    let messages: Conversation
    let options: ProcessingOptions

    init(_ golden: GoldenJSON, folder: URL) throws {
        let frames = golden["video_frames"].strings ?? []
        var images = (golden["images_in_order"].strings ?? []).makeIterator()
        func picture(_ file: String) throws -> Image {
            let file = file.hasPrefix("images/") ? String(file.dropFirst(7)) : file
            // JPEG decoders may differ by a grey level; the reference's own decoding rules that out.
            let decoded = folder.appending(
                path: "images/decoded/\(file.split(separator: ".").dropLast().joined(separator: ".")).rgb.png")
            let path =
                FileManager.default.fileExists(atPath: decoded.path)
                ? decoded : folder.appending(path: "images/\(file)")
            return try Image(contentsOf: path.path, policy: .asPillow)
        }
        func part(_ json: GoldenJSON) throws -> Part {
            switch json["type"].string {
            case "image":
                guard let file = images.next() ?? json["image"].string else {
                    throw GoldenError(file: folder.path, fault: "a case names no file for a picture")
                }
                return .image(try picture(file))
            case "video": return .video(Video(frames: try frames.map(picture), framesPerSecond: 2))
            default: return .text(json["text"].string ?? "")
            }
        }
        messages = try (golden["messages"].array ?? []).map { json in
            guard let role = json["role"].string.flatMap(Role.init(rawValue:)) else {
                throw GoldenError(file: folder.path, fault: "a message has no role")
            }
            if let text = json["content"].string { return Message(role, text) }
            return Message(role, try (json["content"].array ?? []).map(part))
        }
        var variables = (golden["template_kwargs"].object ?? [:]).compactMapValues(\.bool)
        // Training cases hold whole conversations; the others ask for an answer.
        let prompt = variables.removeValue(forKey: "add_generation_prompt") ?? golden["labels"].isNull
        options = ProcessingOptions(addGenerationPrompt: prompt, templateVariables: variables)
    }
}
