import Foundation
import Media
import ModelTestSupport
import NN
import Testing
import Torch

@testable import Models

/// Qwen2-VL's positions and patches by the examples of its description, worked out by hand.
@Suite struct PositionTests {
    @Test func textAndAVideo() {
        var positions = MultimodalPositions()
        var found = [positions.text(), positions.text()]
        found += positions.item(PatchGrid(time: 3, height: 4, width: 4), mergeSize: 2)
        found += [positions.text(), positions.text()]
        #expect(found.map(\.x) == [0, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 6])
        #expect(found.map(\.y) == [0, 1, 2, 2, 3, 3, 2, 2, 3, 3, 2, 2, 3, 3, 5, 6])
        #expect(found.map(\.z) == [0, 1, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 5, 6])
    }

    /// Grid, tokens and positions consumed.
    @Test(arguments: [
        (56, 56, 1, PatchGrid(time: 1, height: 4, width: 4), 4, 2),
        (640, 480, 1, PatchGrid(time: 1, height: 34, width: 46), 391, 23),
        (280, 280, 8, PatchGrid(time: 4, height: 20, width: 20), 400, 10),
        (280, 280, 7, PatchGrid(time: 4, height: 20, width: 20), 400, 10),
    ])
    func grids(_ width: Int, _ height: Int, _ frames: Int, _ grid: PatchGrid, _ tokens: Int, _ consumed: Int32) throws {
        let policy = NativeResolution()
        #expect(try policy.grid(width: width, height: height, frames: frames) == grid)
        #expect(policy.tokenCount(grid) == tokens)
        var positions = MultimodalPositions()
        #expect(positions.item(grid, mergeSize: 2).count == tokens)
        #expect(positions.next == consumed)
    }

    @Test(arguments: [
        (480, 640, 12_845_056, 476, 644), (720, 1280, 12_845_056, 728, 1288), (70, 70, 12_845_056, 56, 56),
        (42, 42, 12_845_056, 56, 56), (98, 126, 12_845_056, 112, 112), (14, 14, 12_845_056, 56, 56),
        (1080, 1920, 12_845_056, 1092, 1932), (1080, 1920, 1_003_520, 728, 1316), (4000, 6000, 12_845_056, 2912, 4368),
        (4000, 6000, 1_003_520, 812, 1204),
    ])
    func smartResize(_ height: Int, _ width: Int, _ limit: Int, _ newHeight: Int, _ newWidth: Int) throws {
        let size = try SmartResize(maxPixels: limit).size(height: height, width: width)
        #expect(size.height == newHeight && size.width == newWidth)
    }

    /// Rows block by block, columns by channel, frame, y, x; a still picture stands in both frames.
    @Test func patchesInTheOrderOfTheTower() throws {
        // A pixel tells where it is: red its column, green its row, blue both.
        let pixels = (0..<56).flatMap { y in (0..<56).flatMap { x in [UInt8(x), UInt8(y), UInt8(x + y)] } }
        let item = try NativeResolution().item(Image(width: 56, height: 56, pixels: pixels))
        #expect(item.pixels.shape == [16, 1176] && item.tokenCount == 4)
        let values = try item.pixels.floats()
        let order = [
            (0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 0), (2, 1), (3, 0), (3, 1), (2, 2),
            (2, 3), (3, 2), (3, 3),
        ]
        let tables = (0..<3).map { PixelNormalization.clip.table(channel: $0) }
        for (row, (down, across)) in order.enumerated() {
            for (y, x) in [(0, 0), (3, 11), (13, 13)] {
                let (top, left) = (down * 14 + y, across * 14 + x)
                for (channel, byte) in [left, top, left + top].enumerated() {
                    for frame in 0..<2 {
                        let value = values[row * 1176 + channel * 392 + frame * 196 + y * 14 + x]
                        #expect(value == tables[channel][byte], "row \(row), channel \(channel), frame \(frame)")
                    }
                }
            }
        }
    }

    @Test func anglesOfTheTower() throws {
        let configuration = Qwen2VisionTower.Configuration(hiddenSize: 80, layers: 0, heads: 1, feedForwardSize: 8)
        let tower = try Qwen2VisionTower(configuration, ParameterStore(.random(seed: 1)).root)
        let item = try NativeResolution().item(Image(width: 56, height: 56, red: 1, green: 2, blue: 3))
        var angles: [Float] = []
        _ = try tower([item], ForwardContext { if $0 == "vision.rotary_freqs" { angles = try $1.floats() } })
        #expect(angles.count == 16 * 40)
        // Row 6 of the patches is the one at (1, 2).
        for index in 0..<20 {
            let frequency = Float(pow(10000, -2 * Double(index) / 40))
            #expect(abs(angles[6 * 40 + index] - 1 * frequency) < 1e-5)
            #expect(abs(angles[6 * 40 + 20 + index] - 2 * frequency) < 1e-5)
        }
    }

    @Test func anglesOfTheDecoder() throws {
        let configuration = DecoderConfiguration(
            vocabularySize: 8, hiddenSize: 128, feedForwardSize: 8, layers: 1, heads: 1, keyValueHeads: 1,
            positions: .multimodal(sections: [16, 24, 24]))
        let table = try RotaryPositions(configuration).table(
            for: [SIMD3(3, 50, 700)], segments: Segments(lengths: [1]), lengths: [1], device: .cpu)
        let cosines = try table.cosine.floats()
        for index in 0..<64 {
            let position = index < 16 ? 3.0 : index < 40 ? 50.0 : 700.0
            let angle = position * pow(1e6, -2 * Double(index) / 128)
            #expect(abs(Double(cosines[index]) - cos(angle)) < 2e-4, "frequency \(index)")
        }
    }

    @Test func aPromptWithOnePicture() throws {
        let tiny = try TinyQwen2VL()
        // Patches of 8: 32×32 gives 4×4 patches and four tokens.
        let sequence = try tiny.prompt("What?", pictures: [(32, 32)])
        let first = try #require(sequence.rows.firstIndex { $0.item == 0 })
        let start = sequence.rows[first - 1].position
        #expect(start == SIMD3(repeating: Int32(first - 1)))
        let places = sequence.rows[first..<first + 4].map { $0.position &- start }
        #expect(places == [SIMD3(1, 1, 1), SIMD3(1, 1, 2), SIMD3(1, 2, 1), SIMD3(1, 2, 2)])
        #expect(sequence.rows[first + 4].position == start &+ SIMD3(repeating: 3))
        #expect(Int(sequence.nextPosition) - sequence.rows.count == -2)
    }
}
