import Foundation
import Goldens
import Hashing
import Testing
import TestSupport

@testable import Media

@Suite struct ResizingTests {
    static let kernels = ResizeKernel.allCases.filter(\.isAvailable)

    /// Pixels of a file as Pillow's mode RGB, or its mode L where `channels` is 1.
    private func pixels(_ path: String, channels: Int) throws -> (image: Image, pixels: [UInt8]) {
        let image = try Image(contentsOf: path, policy: .asPillow)
        return (
            image,
            channels == 3 ? image.pixels : stride(from: 0, to: image.pixels.count, by: 3).map { image.pixels[$0] }
        )
    }

    @Test func everyKernelAsPillow() throws {
        for golden in try ImageGoldens.load().resizes {
            let (image, pixels) = try pixels(ImageGoldens.path(golden.source), channels: golden.channels)
            let filter = try #require(ResizeFilter(rawValue: golden.filter))
            for kernel in Self.kernels {
                let result = try resizePixels(
                    pixels, width: image.width, height: image.height, channels: golden.channels, to: golden.width,
                    golden.height, filter: filter, box: resizeBox(golden.box), kernel: kernel)
                #expect(sha256(result) == golden.sha256, "\(golden) \(kernel)")
            }
        }
    }

    @Test(.enabled(if: Fixtures.shared != nil)) func sharedFixtures() throws {
        let folder = try Fixtures.golden("resize")
        let cases = try #require(folder.json["cases"].object)
        var checked = 0
        for (name, golden) in cases where name.hasPrefix("pil") {
            let source = try #require(golden["source"].string)
            let channels = try folder.tensor(name).shape.count == 3 ? folder.tensor(name).shape[2] : 1
            let (image, pixels) = try pixels(folder.path + "/" + source, channels: channels)
            let filter = try #require(golden["filter"].string.flatMap(ResizeFilter.init(rawValue:)))
            let width = try #require(golden["width"].int)
            let height = try #require(golden["height"].int)
            for kernel in Self.kernels {
                let result = try resizePixels(
                    pixels, width: image.width, height: image.height, channels: channels, to: width, height,
                    filter: filter, box: resizeBox(golden["box"].doubles?.map { Float($0) }), kernel: kernel)
                #expect(try sha256(result) == folder.tensor(name).sha256, "\(name) \(kernel)")
            }
            checked += 1
        }
        #expect(checked > 300)
    }

    @Test(.enabled(if: Fixtures.shared != nil)) func planesAsTorch() throws {
        let folder = try Fixtures.golden("resize")
        var checked = 0
        for name in folder.tensors.keys where name.hasPrefix("tv.") && name.hasSuffix(".float") {
            let parts = name.split(separator: ".").map(String.init)
            let sides = parts[2].split(separator: "x").compactMap { Int($0) }
            // One column: the reference run repeated the first row in the second, which Pillow's float resize does not.
            guard sides[0] > 1 else { continue }
            let (image, _) = try pixels("\(folder.path)/\(parts[1]).png", channels: 3)
            let shape = try folder.tensor(name).shape
            let planes = (0..<shape[0]).flatMap { channel in
                stride(from: channel, to: image.pixels.count, by: 3).map { Float(image.pixels[$0]) / 255 }
            }
            let result = try resizePlanes(
                planes, width: image.width, height: image.height, to: sides[0], sides[1],
                filter: #require(ResizeFilter(rawValue: parts[3])))
            let report = try folder.compare(name, result.map(Double.init), shape: shape)
            #expect(report.holds, "\(report)")
            checked += 1
        }
        #expect(checked > 30)
    }

    /// Pillow 13 takes the vertical pass first here; all published models were trained with the other order.
    @Test func horizontalPassFirst() throws {
        let pixels: [UInt8] = [
            0, 101, 202, 47, 37, 191, 89, 243, 74, 25, 232, 183, 111, 115, 119, 123, 148, 205, 6, 63, 185, 39, 149, 3,
            222, 129, 36, 199, 3, 219, 179, 139,
        ]
        let result = try resizePixels(
            pixels, width: 4, height: 8, channels: 1, to: 9, 3, filter: .bicubic, box: nil)
        #expect(
            result == [
                28, 42, 81, 120, 147, 164, 169, 167, 165, 138, 134, 125, 114, 107, 101, 98, 97, 98, 149, 143, 145, 140,
                122, 105, 108, 119, 126,
            ])
    }

    /// Sizes around the widths of the vector kernels, on noise of extremes, which overshoots both ways.
    @Test func kernelsAgree() throws {
        var random = TestSupport.SeededGenerator(5)
        for _ in 0..<150 {
            let sizes = (0..<4).map { _ in Int.random(in: 1...90, using: &random) }
            let bytes = (0..<sizes[0] * sizes[1] * 3).map { _ in UInt8(Bool.random(using: &random) ? 255 : 0) }
            let image = Image(width: sizes[0], height: sizes[1], pixels: bytes)
            for filter in ResizeFilter.allCases {
                let plain = try image.resized(width: sizes[2], height: sizes[3], filter: filter, kernel: .portable)
                for kernel in Self.kernels {
                    let other = try image.resized(width: sizes[2], height: sizes[3], filter: filter, kernel: kernel)
                    #expect(other == plain, "\(sizes) \(filter) \(kernel)")
                }
            }
        }
    }

    @Test func sameSizeIsTheSamePicture() throws {
        let image = try Image(contentsOf: ImageGoldens.path("rgb.png"))
        for filter in ResizeFilter.allCases {
            #expect(try image.resized(width: image.width, height: image.height, filter: filter) == image)
        }
    }

    @Test func cropping() throws {
        let image = Image(width: 3, height: 2, pixels: (0..<18).map { UInt8($0) })
        #expect(try image.cropped(x: 1, y: 1, width: 2, height: 1).pixels == [12, 13, 14, 15, 16, 17])
        #expect(try image.cropped(x: 0, y: 0, width: 3, height: 2) == image)
        for (x, y, width, height) in [
            (-1, 0, 1, 1), (3, 0, 1, 1), (0, 0, 4, 1), (2, 1, 1, 2), (0, 0, 0, 1), (1, 0, .max, 1),
        ] {
            #expect(throws: MediaError.self) { try image.cropped(x: x, y: y, width: width, height: height) }
        }
    }

    @Test func senselessSizesAreErrors() throws {
        let image = Image(width: 3, height: 2, red: 1, green: 2, blue: 3)
        for (width, height) in [(0, 1), (1, 0), (-1, 5), (.max, .max), (1 << 20, 1 << 20)] {
            #expect(throws: MediaError.self) { try image.resized(width: width, height: height) }
        }
        for edges: [Float] in [[0, 0, 4, 1], [-1, 0, 1, 1], [2, 0, 1, 1], [.nan, 0, 1, 1], [0, 0, 0, 0]] {
            #expect(throws: MediaError.self) { try image.resized(width: 2, height: 2, box: resizeBox(edges)) }
        }
        #expect(throws: MediaError.self) { try resizePlanes([1, 2, 3], width: 2, height: 2, to: 1, 1) }
        #expect(throws: MediaError.self) { try resizePlanes([1], width: 1, height: 1, to: 1, 1, filter: .box) }
    }
}
