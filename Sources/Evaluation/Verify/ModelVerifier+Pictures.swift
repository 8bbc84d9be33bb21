import Foundation
import Goldens
import Hashing
import Models
import Torch

extension ModelVerifier {
    /// Every picture through the image policy.
    mutating func verifyPictures() throws {
        let pictures = goldens.json["image_processor_all_pictures"]["results"].object ?? [:]
        for (file, golden) in pictures.sorted(by: { $0.key < $1.key }) {
            let part = GoldenJSON.object(["type": .string("image"), "image": .string(file)])
            let message = GoldenJSON.object(["role": .string("user"), "content": .array([part])])
            let json = GoldenJSON.object(["messages": .array([message])])
            let conversation = try GoldenConversation(json, folder: sharedPictures(file))
            if golden["error"].string != nil {
                // transformers 4.45 refuses pictures below one merge block; Omma's default follows its successors.
                verifyRefusal(file, conversation.messages)
                continue
            }
            let sequence = try folder.processor.process(conversation.messages, ProcessingOptions())
            verifyGrids("pixels.\(file)", Self.listed(golden), sequence)
            if let patches = try Self.pixels(sequence, .image), goldens.tensors["pixels.\(file)"] != nil {
                report.add(try goldens.compare("pixels.\(file)", patches.doubles(), shape: patches.shape))
            }
        }
    }

    private mutating func verifyRefusal(_ file: String, _ conversation: Conversation) {
        guard var policy = (folder.processor as? Qwen2VLProcessor)?.imagePolicy,
            case .image(let image)? = conversation.first?.parts.first
        else {
            return report.add("pixels.\(file)", holds: false, "the golden is an error, and there is no rule to ask")
        }
        policy.resize.version = .transformers4
        do {
            let item = try policy.item(image)
            report.add("pixels.\(file)", holds: false, "is \(item.layout), the golden an error")
        } catch {
            report.add("pixels.\(file)", holds: true)
        }
    }

    /// The folder whose `images` holds the file: this one, or the goldens' common one beside it.
    private func sharedPictures(_ file: String) -> URL {
        let own = folder.url.appending(path: "images/\(file)")
        return FileManager.default.fileExists(atPath: own.path)
            ? folder.url : folder.url.deletingLastPathComponent()
    }

    /// What the goldens say of one picture, as they say it of a list.
    private static func listed(_ golden: GoldenJSON) -> GoldenJSON {
        var fields: [String: GoldenJSON] = [:]
        for (name, list) in [
            ("image_grid_thw", "image_grid_thw"), ("grid", "tile_grids"), ("num_tiles", "num_patches_list"),
            ("tiles_rgb_sha256", "tiles_rgb_sha256"),
        ] where !golden[name].isNull {
            fields[list] = .array([golden[name]])
        }
        return .object(fields)
    }

    /// The bytes of each tile, which follow from its normalised values, as they are rounded to bytes before that.
    mutating func verifyTiles(_ name: String, _ item: VisualItem, _ hashes: [String]) {
        guard let tile = (folder.processor as? PromptProcessor)?.imagePolicy as? DynamicTiling else { return }
        let normalization = tile.tile.normalization
        let found = (0..<item.tileCount).compactMap { index -> String? in
            guard let planes = try? item.pixels.select(0, index).floats() else { return nil }
            let area = planes.count / 3
            let bytes = (0..<planes.count).map { place -> UInt8 in
                let channel = place % 3
                let value = Double(planes[channel * area + place / 3])
                let level = (value * normalization.deviation[channel] + normalization.mean[channel]) * 255
                return UInt8(clamping: Int(level.rounded()))
            }
            return bytes.withUnsafeBytes(sha256)
        }
        report.add(name, holds: found == hashes, "the tiles' bytes are others")
    }
}
