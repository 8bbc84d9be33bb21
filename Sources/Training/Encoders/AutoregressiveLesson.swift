internal import Foundation
internal import Media
internal import Models
internal import NN
internal import Torch

/// Each patch's pixels are told from those before it, behind a prefix whose patches see each other (AIM).
final class AutoregressiveLesson: EncoderLesson {
    private struct Batch {
        var patches: PatchBatch
        var prefixes: [Int]
    }

    let store: ParameterStore
    let measure = "of the patches' variance predicted"
    private let design: AutoregressiveDesign
    private let model: AutoregressiveImageModel
    private let resolution: FixedResolution

    /// - Parameter folder: with `preprocessor_config.json`, where there is one.
    init(_ design: AutoregressiveDesign, folder: URL, _ store: ParameterStore) throws {
        self.design = design
        self.store = store
        resolution = try design.resolution(folder: folder)
        model = try design.makeModel(store)
    }

    func part(of parameterName: String) -> ModelPart { design.part(of: parameterName) }

    func loss(_ pictures: GeneratedPictures, from first: Int, _ batch: Recipe.Batch) throws -> EncoderLoss {
        let side = design.imageSize / design.tower.patchSize
        let most = max(1, batch.tokens / (side * side))
        let made = try self.batch(pictures, first..<first + min(self.pictures(batch), most))
        return EncoderLoss(
            value: try EncoderObjectives.autoregressive(
                model.predictions(made.patches, prefixes: made.prefixes), made.patches, prefixes: made.prefixes),
            counts: EncoderCounts(pictures: made.prefixes.count, patches: made.patches.counts.reduce(0, +)))
    }

    /// The mean squared error of a predicted value; beside it that of the mean, which is what values are left at 0 by
    /// normalising each patch; and the share of the second that the model has taken away.
    func scores(_ pictures: GeneratedPictures, count: Int, _ threads: WorkerThreads) throws -> EncoderScores {
        let size = Self.usualSize
        let parts = try threads.map((count + size - 1) / size) { [self] index in
            try withoutGradient {
                let batch = try batch(pictures, index * size..<min(count, (index + 1) * size))
                let predicted = try model.predictions(batch.patches, prefixes: batch.prefixes)
                func error(_ predictions: Tensor) throws -> Double {
                    try EncoderObjectives.autoregressive(predictions, batch.patches, prefixes: batch.prefixes).item()
                }
                let weight = Double(zip(batch.patches.counts, batch.prefixes).reduce(0) { $0 + $1.0 - $1.1 })
                return (
                    weight: weight, loss: try error(predicted) * weight,
                    mean: try error(Tensor.zeros(batch.patches.patches.shape)) * weight
                )
            }
        }
        let weight = parts.reduce(0) { $0 + $1.weight }
        let loss = parts.reduce(0) { $0 + $1.loss } / weight, mean = parts.reduce(0) { $0 + $1.mean } / weight
        return EncoderScores(loss: loss, accuracy: mean > 0 ? 1 - loss / mean : 0, chance: (mean, 0))
    }

    /// Pictures with prefixes of any length that leaves something to predict (section 3.2).
    private func batch(_ source: GeneratedPictures, _ numbers: Range<Int>) throws -> Batch {
        let pixels = try Tensor.stack(numbers.map { try resolution.pixels(source.sample($0).image) })
        let patches = try PatchBatch(pixels, patchSize: design.tower.patchSize)
        let prefixes = zip(numbers, patches.counts).map { number, count in
            var random = source.choices(number)
            return random.integer(1...count - 1)
        }
        return Batch(patches: patches, prefixes: prefixes)
    }
}
