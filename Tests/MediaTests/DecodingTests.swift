import Foundation
import Goldens
import Hashing
import Media
import Testing
import TestSupport

@Suite struct DecodingTests {
    @Test func everyFormatAsPillow() throws {
        for entry in try ImageGoldens.load().images {
            let image = try Image(contentsOf: ImageGoldens.path(entry.file), policy: .asPillow)
            let turned = entry.format == "TIFF" && entry.orientation >= 5
            #expect(image.width == (turned ? entry.height : entry.width), "\(entry.file)")
            #expect(sha256(image.pixels) == entry.as_pillow, "\(entry.file)")
        }
    }

    @Test func everyFormatUpright() throws {
        for entry in try ImageGoldens.load().images {
            let image = try Image(contentsOf: ImageGoldens.path(entry.file))
            let turned = entry.orientation >= 5
            #expect(image.width == (turned ? entry.height : entry.width), "\(entry.file)")
            #expect(sha256(image.pixels) == entry.upright, "\(entry.file)")
        }
    }

    @Test func headersWithoutDecoding() throws {
        for entry in try ImageGoldens.load().images {
            let info = try ImageInfo(contentsOf: ImageGoldens.path(entry.file))
            #expect(info.format.rawValue.uppercased() == entry.format, "\(entry.file)")
            #expect(info.width == entry.width && info.height == entry.height, "\(entry.file)")
            #expect(info.orientation == entry.orientation, "\(entry.file)")
            #expect(info.isAnimated == entry.animated, "\(entry.file)")
            #expect(info.uprightSize.width == (entry.orientation >= 5 ? entry.height : entry.width))
        }
        #expect(try ImageInfo(contentsOf: ImageGoldens.path("rgba.png")).hasAlpha)
        #expect(try ImageInfo(contentsOf: ImageGoldens.path("palette_clear.png")).hasAlpha)
        #expect(try ImageInfo(contentsOf: ImageGoldens.path("lossy_alpha.webp")).hasAlpha)
        #expect(try !ImageInfo(contentsOf: ImageGoldens.path("rgb.png")).hasAlpha)
    }

    /// The folders `images` of the shared fixtures and of this repository have the same layout.
    @Test(arguments: ["shared", "own"]) func sharedPictures(_ place: String) throws {
        guard let root = place == "own" ? Fixtures.goldens : Fixtures.shared else {
            print("skipped: no shared fixtures")
            return
        }
        let folder = root.appending(path: "images")
        let golden = try GoldenJSON(path: folder.appending(path: "golden.json").path)
        let entries = try #require(golden["images"].array)
        #expect(!entries.isEmpty)
        for entry in entries {
            let file = try #require(entry["file"].string)
            let path = folder.appending(path: file).path
            let image = try Image(contentsOf: path, policy: .asPillow)
            #expect(image.width == entry["rgb"]["width"].int && image.height == entry["rgb"]["height"].int, "\(file)")
            #expect(sha256(image.pixels) == entry["rgb"]["sha256"].string, "\(file)")
            #expect(try ImageInfo(contentsOf: path).orientation == entry["exif_orientation"].int ?? 1, "\(file)")
            // Pillow clips 16-bit grey whatever the orientation; `upright` does not.
            guard entry["pil_mode"].string != "I;16" else { continue }
            let overWhite = entry["rgba_over_white_rgb"]["sha256"].string
            guard try overWhite != nil || !ImageInfo(contentsOf: path).hasAlpha else { continue }
            let wanted = overWhite ?? entry["exif_transposed_rgb"]["sha256"].string
            #expect(try sha256(Image(contentsOf: path).pixels) == wanted, "\(file)")
        }
    }

    @Test func theNameDoesNotDecideTheFormat() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("picture.jpg", ImageGoldens.bytes("rgb.png"))
        #expect(try ImageInfo(contentsOf: path).format == .png)
        #expect(try Image(contentsOf: path) == Image(contentsOf: ImageGoldens.path("rgb.png")))
    }

    @Test func reducedJPEG() throws {
        let bytes = try ImageGoldens.bytes("baseline.jpg")
        let half = try Image.decode(bytes, scale: .atLeast(width: 30, height: 20))
        #expect(half.width == 31 && half.height == 22)
        let full = try Image.decode(bytes, scale: .atLeast(width: 61, height: 1))
        #expect(full.width == 61 && full.height == 43)
        let least = try Image.decode(bytes, scale: .atLeast(width: 1, height: 1))
        #expect(least.width == 8 && least.height == 6)
        // For a picture that lies on its side, the wanted size is that of the upright picture.
        let turned = try ImageGoldens.bytes("orientation_6.jpg")
        #expect(try Image.decode(turned, scale: .atLeast(width: 8, height: 12)).width == 8)
        #expect(try Image.decode(turned, scale: .atLeast(width: 9, height: 1)).width == 16)
    }

    @Test func encodingComesBack() throws {
        let image = try Image(contentsOf: ImageGoldens.path("rgb.png"))
        for level in [0, 1, 6, 9] {
            #expect(try Image.decode(image.pngData(level: level)) == image)
        }
        let jpeg = try Image.decode(image.jpegData(quality: 100))
        let difference = zip(jpeg.pixels, image.pixels).map { abs(Int($0) - Int($1)) }
        #expect((difference.max() ?? 255) < 16)
        let folder = try TemporaryFolder()
        try image.write(to: folder.path("a.png"))
        try image.write(to: folder.path("b.JPG"))
        #expect(try Image(contentsOf: folder.path("a.png")) == image)
        #expect(try ImageInfo(contentsOf: folder.path("b.JPG")).format == .jpeg)
        #expect(folder.names == ["a.png", "b.JPG"])
        #expect(throws: MediaError.self) { try image.write(to: folder.path("missing/c.png")) }
    }
}
