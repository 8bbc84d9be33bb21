import Foundation
import Media
import TestSupport

/// `Tests/Goldens/image_formats`: what Pillow makes of small pictures of every format.
struct ImageGoldens: Decodable, Sendable {
    struct Entry: Decodable, Sendable {
        let file: String
        let format: String
        let width: Int
        let height: Int
        let orientation: Int
        let animated: Bool
        let as_pillow: String
        let upright: String
    }
    struct Resize: Decodable, Sendable {
        let source: String
        let width: Int
        let height: Int
        let filter: String
        let box: [Float]?
        let channels: Int
        let sha256: String
    }
    let images: [Entry]
    let resizes: [Resize]

    /// The goldens of this repository.
    static func load() throws -> ImageGoldens {
        let bytes = try Data(contentsOf: folder.appending(path: "expected.json"))
        return try JSONDecoder().decode(ImageGoldens.self, from: bytes)
    }

    static let folder = Fixtures.goldens.appending(path: "image_formats")
    static func path(_ file: String) -> String { folder.appending(path: file).path }
    static func bytes(_ file: String) throws -> [UInt8] { try [UInt8](Data(contentsOf: folder.appending(path: file))) }
}

/// A box from a golden's left, top, right, bottom.
func resizeBox(_ edges: [Float]?) -> ResizeBox? {
    guard let edges, edges.count == 4 else { return nil }
    return ResizeBox(left: edges[0], top: edges[1], right: edges[2], bottom: edges[3])
}
