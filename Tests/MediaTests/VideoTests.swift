import Foundation
import Media
import Testing
import TestSupport

@Suite struct VideoTests {
    static let files = ["h264.mp4", "vp9.webm", "mpeg4.avi"]

    private func path(_ file: String) -> String { Fixtures.goldens.appending(path: "videos/\(file)").path }

    /// The frame before it was encoded, by the formula of `Tests/Goldens/make_videos.py`.
    private func original(_ index: Int) -> Image {
        var image = Image(width: 64, height: 48, red: 0, green: 0, blue: 0)
        let left = index * 2 % 44
        for y in 0..<48 {
            for x in 0..<64 {
                let inside = (10..<20).contains(y) && (left..<left + 12).contains(x)
                let colour =
                    inside
                    ? [255, 255, 255] : [(x * 3 + index * 5) % 256, (y * 4 + index * 3) % 256, index * 20 % 256]
                for c in 0..<3 { image.pixels[(y * 64 + x) * 3 + c] = UInt8(colour[c]) }
            }
        }
        return image
    }

    private func distance(_ a: Image, _ b: Image) -> Double {
        Double(zip(a.pixels, b.pixels).reduce(0) { $0 + abs(Int($1.0) - Int($1.1)) }) / Double(a.pixels.count)
    }

    @Test(arguments: files) func metadata(_ file: String) throws {
        let video = try VideoReader(path: path(file))
        #expect(video.width == 64 && video.height == 48)
        #expect(video.frameCount == 24)
        #expect(abs(video.framesPerSecond - 10) < 1e-6)
        #expect(abs(video.duration - 2.4) < 0.05)
        #expect(video.rotation == 0)
        #expect(abs(video.time(ofFrame: 5) - 0.5) < 0.002)
    }

    /// Whatever the order, a frame is nearer to its own original than to any other.
    @Test(arguments: files) func framesByIndex(_ file: String) throws {
        let video = try VideoReader(path: path(file), threads: 1)
        let originals = (0..<24).map(original)
        let order = [23, 0, 7, 8, 9, 1, 1, 16, 22, 3, 15, 14, 13] + Array(0..<24)
        let frames = try video.frames(atIndices: order)
        for (index, frame) in zip(order, frames) {
            let distances = originals.map { distance($0, frame) }
            #expect(distances.indices.min { distances[$0] < distances[$1] } == index, "\(file) \(index)")
            #expect(distances[index] < 10, "\(file) \(index)")
        }
        // Decoding again from elsewhere gives the same bytes.
        #expect(frames[5] == frames[6] && frames[1] == frames[13])
    }

    @Test func sampling() throws {
        let video = try VideoReader(path: path("h264.mp4"))
        #expect(try video.evenIndices(count: 1) == [0])
        #expect(try video.evenIndices(count: 4) == [0, 8, 15, 23])
        #expect(try video.evenIndices(count: 24) == Array(0..<24))
        #expect(try video.evenIndices(count: 3) == [0, 12, 23])
        #expect(try video.frames(perSecond: 2).count == 4)
        #expect(try video.frames(perSecond: 100).count == 24)
        #expect(try video.frames(perSecond: 0.01).count == 1)
        #expect(try video.frames(count: 2).count == 2)
    }

    @Test func rotation() throws {
        var bytes = try [UInt8](Data(contentsOf: URL(filePath: path("h264.mp4"))))
        let box = try #require(bytes.indices.first { Array(bytes[$0...].prefix(4)) == Array("tkhd".utf8) })
        // The matrix of a quarter turn clockwise, in 16.16 fixed point.
        let matrix: [UInt32] = [0, 0x10000, 0, 0xFFFF_0000, 0, 0, 48 << 16, 0, 0x4000_0000]
        for (index, value) in matrix.enumerated() {
            for byte in 0..<4 { bytes[box + 44 + index * 4 + byte] = UInt8(value >> (24 - 8 * UInt32(byte)) & 255) }
        }
        let folder = try TemporaryFolder()
        let turned = try VideoReader(path: folder.write("turned.mp4", bytes))
        #expect(turned.rotation == 90 && turned.width == 48 && turned.height == 64)
        let stored = try VideoReader(path: folder.path("turned.mp4"), policy: .asPillow)
        #expect(stored.width == 64 && stored.height == 48)
        let upright = try turned.frame(at: 3)
        let plain = try stored.frame(at: 3)
        // The top left pixel goes to the top right.
        #expect(upright.pixels[47 * 3..<48 * 3] == plain.pixels[0..<3])
        #expect(upright.pixels[0..<3] == plain.pixels[47 * 64 * 3..<47 * 64 * 3 + 3])
    }

    @Test func badInput() throws {
        let folder = try TemporaryFolder()
        let missing = folder.path("missing.mp4")
        #expect(throws: MediaError.unreadable(name: missing, reason: "there is no such file")) {
            try VideoReader(path: missing)
        }
        let playlist = "#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:1,\n\(path("h264.mp4"))\n#EXT-X-ENDLIST\n"
        for (name, bytes) in [
            ("empty.mp4", []), ("text.mp4", Array("no video".utf8)), ("list.m3u8", Array(playlist.utf8)),
        ] {
            let path = try folder.write(name, bytes)
            #expect(throws: MediaError.self) { try VideoReader(path: path) }
        }
        let video = try VideoReader(path: path("h264.mp4"))
        for index in [-1, 24, .max] { #expect(throws: MediaError.self) { try video.frame(at: index) } }
        #expect(throws: MediaError.self) { try video.frames(count: 0) }
        #expect(throws: MediaError.self) { try video.frames(perSecond: .nan) }
        let small = VideoLimits(maxPixels: 1000)
        #expect(throws: MediaError.self) { try VideoReader(path: path("h264.mp4"), limits: small) }
        #expect(throws: MediaError.self) { try VideoReader(path: path("h264.mp4"), limits: VideoLimits(maxFrames: 23)) }
        let tight = try VideoReader(path: path("h264.mp4"), limits: VideoLimits(maxDecodedBytes: 64 * 48 * 3 * 2))
        #expect(throws: MediaError.self) { try tight.frames(count: 3) }
        #expect(try tight.frames(count: 2).count == 2)
    }

    @Test func damagedFiles() throws {
        let folder = try TemporaryFolder()
        var random = TestSupport.SeededGenerator(11)
        for file in Self.files {
            let whole = try [UInt8](Data(contentsOf: URL(filePath: path(file))))
            for round in 0..<25 {
                var bytes = whole
                for _ in 0..<Int.random(in: 1...6, using: &random) {
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
                }
                if round % 3 == 0 { bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random)) }
                let path = try folder.write(file, bytes)
                let limits = VideoLimits(maxPixels: 1 << 20, maxFrames: 1000)
                guard let video = try? VideoReader(path: path, limits: limits, threads: 1) else { continue }
                for index in [0, video.frameCount - 1, video.frameCount / 2] { _ = try? video.frame(at: index) }
            }
        }
    }
}
