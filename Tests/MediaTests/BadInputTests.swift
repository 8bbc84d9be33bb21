import Foundation
import Media
import Testing
import TestSupport

/// Whatever a file holds, decoding gives the right pixels or a typed error that names it.
@Suite struct BadInputTests {
    /// One file of each format.
    static let seeds = [
        "baseline.jpg", "progressive.jpg", "cmyk.jpg", "rgb.png", "palette_clear.png", "grey_16.png", "lossy.webp",
        "lossless_alpha.webp", "animated.webp", "palette.gif", "animated.gif", "rgb.bmp", "palette.bmp",
        "rgb_lzw.tiff", "cmyk.tiff", "palette.tiff", "orientation_6.webp",
    ]

    private func fault(_ bytes: [UInt8], limits: DecodeLimits = DecodeLimits()) -> MediaError? {
        do throws(MediaError) {
            _ = try Image.decode(bytes, name: "bad.jpg", limits: limits)
            return nil
        } catch {
            return error
        }
    }

    @Test(arguments: seeds, [10, 50, 90]) func truncated(_ file: String, _ percent: Int) throws {
        let whole = try ImageGoldens.bytes(file)
        // The first frame of a GIF may be whole although the file is not.
        if file == "animated.gif", percent > 10 { return }
        let error = try #require(fault(Array(whole.prefix(whole.count * percent / 100))), "\(file) at \(percent)%")
        switch error {
        case .truncated(let name, _, _), .corrupt(let name, _, _): #expect(name == "bad.jpg")
        default: Issue.record("\(file) at \(percent)%: \(error)")
        }
    }

    /// However a file is cut, there is no crash, and what still decodes is the whole picture.
    @Test(arguments: seeds) func cutAnywhere(_ file: String) throws {
        let whole = try ImageGoldens.bytes(file)
        let picture = try Image.decode(whole)
        for length in stride(from: 0, to: whole.count, by: max(1, whole.count / 150)) {
            if let image = try? Image.decode(Array(whole.prefix(length))) {
                #expect(image == picture, "\(file) cut at \(length)")
            }
        }
    }

    @Test(arguments: seeds) func magicOnly(_ file: String) throws {
        let whole = try ImageGoldens.bytes(file)
        for length in 1...16 { #expect(fault(Array(whole.prefix(length))) != nil, "\(file) \(length)") }
    }

    @Test func notPictures() throws {
        #expect(fault([]) == .unknownFormat(name: "bad.jpg", reason: "it is empty"))
        #expect(fault(Array("once upon a time".utf8)) == .unknownFormat(name: "bad.jpg", reason: "it looks like text"))
        #expect(fault(Array("BM is how this text begins, by chance".utf8)) != nil)
        #expect(fault([UInt8](repeating: 0, count: 4096)) != nil)
        #expect(fault(Array("\u{89}PNG\r\n".utf8)) != nil)
        let message = fault(Array("once upon a time".utf8)).map(String.init(describing:)) ?? ""
        #expect(message.contains("bad.jpg") && message.contains("text"))
    }

    /// Headers that promise 30,000×30,000 or more in a kilobyte of data.
    @Test func giantHeaders() throws {
        var png = try ImageGoldens.bytes("rgb.png")
        for (index, byte) in [0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30].enumerated() { png[16 + index] = UInt8(byte) }
        #expect(
            fault(png)
                == .tooManyPixels(name: "bad.jpg", width: 30_000, height: 30_000, limit: DecodeLimits().maxPixels))
        var jpeg = try ImageGoldens.bytes("baseline.jpg")
        let frame = try #require(jpeg.indices.first { jpeg[$0] == 0xFF && jpeg[$0 + 1] == 0xC0 })
        for offset in 5..<9 { jpeg[frame + offset] = 0xFF }
        guard case .tooManyPixels(_, 65535, 65535, _) = fault(jpeg) else {
            Issue.record("a giant JPEG gave \(String(describing: fault(jpeg)))")
            return
        }
        var bmp = try ImageGoldens.bytes("rgb.bmp")
        for (index, byte) in [0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0x7F].enumerated() {
            bmp[18 + index] = UInt8(byte)
        }
        #expect(fault(bmp) != nil)
        // Within the limit, but the data is not there: an error again, and memory that is never touched.
        for (index, byte) in [0, 0, 0x20, 0, 0, 0, 0x20, 0].enumerated() { png[16 + index] = UInt8(byte) }
        #expect(fault(png) != nil)
    }

    @Test func zeroSizes() throws {
        var png = try ImageGoldens.bytes("rgb.png")
        for offset in 16..<20 { png[offset] = 0 }
        #expect(fault(png) != nil)
        var gif = try ImageGoldens.bytes("palette.gif")
        let frame = try #require(gif.indices.first { $0 > 13 && gif[$0] == 0x2C })
        for offset in (6..<10).map({ $0 }) + (frame + 5..<frame + 9).map({ $0 }) { gif[offset] = 0 }
        #expect(fault(gif) != nil)
        var bmp = try ImageGoldens.bytes("rgb.bmp")
        for offset in 18..<22 { bmp[offset] = 0 }
        #expect(fault(bmp) != nil)
    }

    @Test func damagedData() throws {
        var png = try ImageGoldens.bytes("rgb.png")
        png[png.count / 2] ^= 0x10
        #expect(fault(png) != nil)
        var jpeg = try ImageGoldens.bytes("baseline.jpg")
        let middle = jpeg.count * 3 / 4
        for offset in middle..<middle + 8 { jpeg[offset] = offset % 2 == 0 ? 0xFF : 0xD9 }
        #expect(fault(jpeg) != nil)
    }

    @Test func limits() throws {
        let bytes = try ImageGoldens.bytes("baseline.jpg")
        #expect(
            fault(bytes, limits: DecodeLimits(maxBytes: 10))
                == .tooManyBytes(name: "bad.jpg", bytes: bytes.count, limit: 10))
        #expect(
            fault(bytes, limits: DecodeLimits(maxPixels: 61 * 43 - 1))
                == .tooManyPixels(name: "bad.jpg", width: 61, height: 43, limit: 61 * 43 - 1))
        #expect(fault(bytes, limits: DecodeLimits(maxPixels: 61 * 43)) == nil)
        let shrinking = DecodeLimits(maxPixels: 1000, shrinksOversizedJPEG: true)
        #expect(try Image.decode(bytes, limits: shrinking).width == 31)
        #expect(fault(bytes, limits: DecodeLimits(maxPixels: 10, shrinksOversizedJPEG: true)) != nil)
        let folder = try TemporaryFolder()
        let path = try folder.write("big.png", [UInt8](repeating: 0, count: 100))
        #expect(throws: MediaError.tooManyBytes(name: path, bytes: 100, limit: 99)) {
            try Image(contentsOf: path, limits: DecodeLimits(maxBytes: 99))
        }
    }

    @Test func filesThatCannotBeRead() throws {
        let folder = try TemporaryFolder()
        let missing = folder.path("missing.png")
        #expect(throws: MediaError.unreadable(name: missing, reason: "there is no such file")) {
            try Image(contentsOf: missing)
        }
        #expect(throws: MediaError.unreadable(name: folder.path, reason: "it is a folder")) {
            try Image(contentsOf: folder.path)
        }
        let text = try folder.write("text.jpg", Array("not a picture\n".utf8))
        #expect(throws: MediaError.unknownFormat(name: text, reason: "it looks like text")) {
            try Image(contentsOf: text)
        }
    }

    /// An EXIF directory whose link to the next points at itself, and one whose entries run past the end.
    @Test func exifLoops() throws {
        let bytes = try ImageGoldens.bytes("orientation_6.jpg")
        let tag = try #require(
            bytes.indices.first { $0 + 1 < bytes.count && bytes[$0] == 0x01 && bytes[$0 + 1] == 0x12 })
        var looping = bytes
        looping[tag + 15] = 8
        #expect(try Image.decode(looping).height == 24)
        var overlong = bytes
        overlong[tag - 2] = 0xFF
        overlong[tag - 1] = 0xFF
        #expect(try Image.decode(overlong).height == 24)
        var elsewhere = bytes
        elsewhere[tag - 6] = 0xFF
        #expect(try ImageInfo(elsewhere).orientation == 1)
    }

    /// Nothing that a client could see holds an address or a native library's words.
    @Test func errorsAreInOurOwnWords() throws {
        for file in Self.seeds {
            let whole = try ImageGoldens.bytes(file)
            for length in [0, 8, whole.count / 3] {
                guard let error = fault(Array(whole.prefix(length))) else { continue }
                let text = String(describing: error)
                #expect(text.contains("bad.jpg"))
                #expect(!text.contains("0x") && !text.lowercased().contains("lib"), "\(text)")
            }
        }
    }

    /// A short run of the fuzz target: seeded mutations of every format.
    @Test(arguments: seeds) func mutations(_ file: String) throws {
        let whole = try ImageGoldens.bytes(file)
        var random = TestSupport.SeededGenerator(UInt64(file.utf8.reduce(0) { $0 &* 31 &+ Int($1) } & 0xFFFF))
        for _ in 0..<300 {
            var bytes = whole
            for _ in 0...Int.random(in: 0..<6, using: &random) {
                // Half of the mutations hit the header, where they matter most.
                let reach = Bool.random(using: &random) ? min(200, bytes.count) : bytes.count
                let place = Int.random(in: 0..<reach, using: &random)
                switch Int.random(in: 0..<5, using: &random) {
                case 0: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                case 1: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 2: bytes[place] = 0xFF
                case 3: bytes[place] = 0
                default: if bytes.count > 20 { bytes.removeLast(Int.random(in: 0..<10, using: &random)) }
                }
            }
            bytes.withUnsafeBytes { fuzzImageDecoder($0) }
        }
    }
}
