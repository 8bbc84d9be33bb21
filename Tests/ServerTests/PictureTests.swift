import Foundation
import Media
import ModelTestSupport
import Models
import Server
import Serving
import TestSupport
import Testing

/// Pictures as they come through HTTP.
@Suite(.serialized) struct PictureTests {
    private func look(_ server: TestServer, _ file: [UInt8]) async throws -> RawResponse {
        let part: [String: Any] = ["type": "image_url", "image_url": ["url": TestServer.dataURL(file)]]
        return try await server.post("/tokenize", ["messages": [["role": "user", "content": [part]]]])
    }

    /// I2: every size gives as many tokens as the formula says, or an error that says why not.
    @Test func everySizeHasItsTokens() async throws {
        let server = try await TestServer()
        let processor = try TinyQwen2VL().folder.processor
        let sides = [1, 2, 3, 13, 14, 27, 28, 29, 447, 448, 449]
        var seen = 0, refused = 0
        for width in sides {
            for height in sides {
                let response = try await look(server, Image.noise(width: width, height: height, seed: 3).pngData())
                guard let expected = try? processor.imageTokenCount(width: width, height: height) else {
                    #expect(response.status == 400 && response.errorMessage != nil, "\(width)×\(height)")
                    refused += 1
                    continue
                }
                let image = (response.json()["images"] as? [[String: Any]])?.first
                #expect(image?["tokens"] as? Int == expected, "\(width)×\(height): \(response.text)")
                #expect(image?["width"] as? Int == width && image?["height"] as? Int == height)
                seen += 1
            }
        }
        print("I2: \(seen) sizes seen, \(refused) refused as too thin, 0 others")
        #expect(seen + refused == sides.count * sides.count && refused < 20)
        try await server.stop()
    }

    /// Files of every kind that the goldens have: right, or refused in words, never half a picture.
    @Test func filesOfEveryKind() async throws {
        let server = try await TestServer { $0.prompt.maxPicturePixels = 4_000_000 }
        var files: [URL] = []
        for folder in ["images", "image_formats"] {
            let url = Fixtures.goldens.appending(path: folder)
            files += try FileManager.default.contentsOfDirectory(at: url, includingPropertiesForKeys: nil)
                .filter { ["jpg", "png", "webp", "gif", "bmp", "tif", "tiff"].contains($0.pathExtension) }
        }
        #expect(files.count > 10)
        var seen = 0, cut = 0, accepted: [String] = []
        for file in files.sorted(by: { $0.path < $1.path }) {
            let bytes = Array(try Data(contentsOf: file)), name = file.lastPathComponent
            let response = try await look(server, bytes)
            if let info = try? ImageInfo(bytes), response.status == 200 {
                // As people see it, whatever EXIF says.
                let image = (response.json()["images"] as? [[String: Any]])?.first, size = info.uprightSize
                #expect(image?["width"] as? Int == size.width && image?["height"] as? Int == size.height, "\(name)")
                seen += 1
            } else {
                #expect((400..<500).contains(response.status) && response.errorMessage != nil, "\(name)")
            }
            for share in [10, 50, 90] where bytes.count > 64 {
                let response = try await look(server, Array(bytes.prefix(bytes.count * share / 100)))
                let isFine =
                    response.status == 200 || (400..<500).contains(response.status) && response.errorMessage != nil
                #expect(isFine, "\(name) cut at \(share) %: \(response.status)")
                cut += 1
                // The first frame of an animation may be whole in what is left of the file, and so may be a picture
                // that only its end mark (12 bytes in PNG) is cut from.
                let isWhole = name.hasPrefix("animated") || bytes.count * (100 - share) / 100 < 12
                if response.status == 200, !isWhole { accepted.append("\(name) at \(share) %") }
            }
        }
        print("I1: \(files.count) files, \(seen) seen upright, \(cut) cut ones, 0 answers of 5xx")
        #expect(accepted.isEmpty, "\(accepted)")
        #expect(seen > 10)
        try await server.stop()
    }
}
