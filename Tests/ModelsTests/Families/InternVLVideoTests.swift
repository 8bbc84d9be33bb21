import Foundation
import Media
import TestSupport
import Testing
import Torch

@testable import Models

/// Videos as InternVL2's example has them: frames as numbered pictures of one tile.
@Suite struct InternVLVideoTests {
    private static func folder() throws -> ModelFolder {
        try ModelFolder(Fixtures.goldens.appending(path: "internvl2_phi3_small"))
    }

    private static func frame(_ number: Int) throws -> Image {
        try Image(
            contentsOf: Fixtures.goldens.appending(path: "internvl2_phi3_small/images/frame_\(number).png").path)
    }

    /// The golden's question writes the same out in words, and its ids are those of the reference.
    @Test func framesStandInTheGoldensPlaces() throws {
        let folder = try Self.folder(), frames = try [0, 2, 4].map(Self.frame)
        let video = Video(frames: frames, framesPerSecond: 2)
        let parts = frames.enumerated().flatMap { [Part.text("Frame\($0 + 1): "), .image($1), .text("\n")] }
        let question = Part.text("What moves?")
        let given = try folder.processor.process([Message(.user, [.video(video), question])], ProcessingOptions())
        let written = try folder.processor.limitingTiles(1).process(
            [Message(.user, parts + [question])], ProcessingOptions())
        #expect(given.ids == written.ids && given.promptText == written.promptText)
        #expect(given.items.count == 3 && given.items.allSatisfy { $0.tileCount == 1 })
        for (ours, theirs) in zip(given.items, written.items) { #expect(try ours.pixels.isEqual(to: theirs.pixels)) }
        #expect(given.promptText.contains("Frame1: <img><IMG_CONTEXT></img>\nFrame2: "))
        #expect(given.promptText.contains("</img>\nWhat moves?"))
        // A text that begins with a line of its own needs none before it, and the next video counts anew.
        let two = try folder.processor.process(
            [Message(.user, [.video(video), .text("\nand"), .video(video)])], ProcessingOptions())
        #expect(two.promptText.contains("</img>\nandFrame1: ") && two.items.count == 6)
    }

    @Test func aModelReadsThem() throws {
        let folder = try Self.folder(), model = try folder.loadModel(dtype: .float32)
        func logits(_ order: [Int]) throws -> Tensor {
            let video = Video(frames: try order.map(Self.frame), framesPerSecond: 1)
            let sequence = try folder.processor.process(
                [Message(.user, [.video(video), .text("What moves?")])], ProcessingOptions())
            return try withoutGradient { try model.logits(model.hiddenStates(ModelInput([sequence]))) }
        }
        let forward = try logits([0, 2, 4]), backward = try logits([4, 2, 0])
        #expect(forward.shape == backward.shape)
        #expect(try (forward - backward).abs().amax().item() > 1e-3)
    }

    @Test func segmentsAreThoseOfTheReference() throws {
        let folder = try Self.folder()
        let sampling = try #require(folder.processor.videoSampling)
        #expect(sampling.segments == .init(count: 8, side: 32) && sampling.maxFrames == 8)
        // Worked out with `get_index` of InternVL2's model card.
        #expect(sampling.segments?.indices(total: 24) == [1, 4, 7, 10, 13, 15, 18, 21])
        #expect(sampling.segments?.indices(total: 3) == [0, 0, 0, 1, 1, 1, 2, 2])
        #expect(sampling.segments?.indices(total: 300) == [18, 55, 93, 130, 168, 205, 242, 280])
        #expect(sampling.segments?.indices(total: 1) == Array(repeating: 0, count: 8))
        let reader = try VideoReader(path: Fixtures.goldens.appending(path: "videos/h264.mp4").path)
        let video = try sampling.video(reader)
        #expect(video.frames.count == 8 && video.frames.allSatisfy { $0.width == 32 && $0.height == 32 })
        let fifth = try reader.frame(at: 13).resized(width: 32, height: 32, filter: .bicubic)
        #expect(video.frames[4] == fifth)
    }

    @Test func mistakes() throws {
        let processor = try Self.folder().processor
        #expect(throws: ProcessingError.emptyVideo) {
            try processor.process([Message(.user, [.video(Video(frames: [], framesPerSecond: 1))])], .init())
        }
    }
}
