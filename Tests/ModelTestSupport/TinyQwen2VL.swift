public import Foundation
public import Media
public import Models
internal import NN
internal import TestSupport
public import Torch

/// The small Qwen2-VL of the goldens, for properties that need no reference: its weights are random and large enough
/// that a fault shows.
public struct TinyQwen2VL {
    /// The checkpoint's folder.
    public static let url = Fixtures.goldens.appending(path: "qwen2vl_small")
    /// The checkpoint without its weights.
    public let folder: ModelFolder
    /// The model with the checkpoint's weights.
    public let model: VisionLanguageModel

    /// Reads the folder; a writable model can be trained.
    public init(writable: Bool = false) throws {
        folder = try ModelFolder(Self.url)
        model = try folder.loadModel(dtype: .float32, writable: writable)
    }

    /// A prompt of this text behind noise pictures of these sizes.
    public func prompt(_ text: String, pictures: [(width: Int, height: Int)] = [], seed: UInt64 = 1) throws
        -> ProcessedSequence
    {
        let parts = pictures.enumerated().map { index, size in
            Part.image(.noise(width: size.width, height: size.height, seed: seed &+ UInt64(index)))
        }
        return try folder.processor.process([Message(.user, parts + [.text(text)])], ProcessingOptions())
    }

    /// Prompts that differ in length, pictures and clips.
    public func mixedPrompts() throws -> [ProcessedSequence] {
        let clip = Video(
            frames: (0..<5).map { .noise(width: 40, height: 32, seed: 40 + $0) }, framesPerSecond: 2)
        let withClip: Conversation = [Message(.user, [.video(clip), .text("What moves?")])]
        return [
            try prompt("Hi"), try prompt("Compare these two.", pictures: [(50, 40), (33, 90)], seed: 3),
            try folder.processor.process(withClip, ProcessingOptions()),
            try prompt("A text that is quite a bit longer than the others, so that nothing lines up by chance."),
            try prompt("And one more", pictures: [(32, 32)], seed: 9),
        ]
    }
}

extension Image {
    /// A picture of noise, the same for the same seed.
    public static func noise(width: Int, height: Int, seed: UInt64) -> Image {
        var random = Media.SeededGenerator(seed: seed)
        return Image(
            width: width, height: height,
            pixels: (0..<width * height * 3).map { _ in UInt8(truncatingIfNeeded: random.next() >> 32) })
    }
}

/// The largest difference of two tensors of one shape; infinite where the shapes differ.
public func largestDifference(_ a: Tensor, _ b: Tensor) throws -> Double {
    guard a.shape == b.shape else { return .infinity }
    return zip(try a.doubles(), try b.doubles()).reduce(0) { max($0, abs($1.0 - $1.1)) }
}
