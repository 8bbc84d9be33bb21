import Foundation
import Media
import Models

/// Pictures and videos as parts of a message.
enum ChatMedia {
    /// The picture of a file, or of standard input for `-`.
    static func picture(_ path: String) throws -> Image {
        guard path == "-" else { return try Image(contentsOf: Paths.expanded(path), policy: .upright) }
        let limit = DecodeLimits().maxBytes
        var bytes: [UInt8] = []
        // One piece more than allowed tells that there is too much, without reading all of it.
        while bytes.count <= limit, let piece = try FileHandle.standardInput.read(upToCount: 1 << 20), !piece.isEmpty {
            bytes += piece
        }
        return try Image.decode(bytes, name: "standard input", policy: .upright)
    }

    /// The frames of a video that the model sees.
    static func video(_ path: String, for processor: any ConversationProcessor) throws -> Video {
        guard let sampling = processor.videoSampling else {
            throw ProcessingError.unsupported("this model takes no videos")
        }
        return try sampling.video(VideoReader(path: Paths.expanded(path), policy: .upright))
    }
}
