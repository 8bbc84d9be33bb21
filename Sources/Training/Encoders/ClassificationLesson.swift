internal import Data
internal import Models
internal import NN
internal import Torch

/// What generated pictures show, as classes: colours, then shapes.
enum SyntheticLabels {
    static let kinds = [SyntheticObject.colors, SyntheticObject.shapes]
    static var count: Int { kinds.reduce(0) { $0 + $1.count } }

    /// The classes of everything in a picture.
    static func labels(of objects: [SyntheticObject]) -> [Int] {
        var labels: Set<Int> = []
        for object in objects {
            if let color = object.color, let index = kinds[0].firstIndex(of: color) { labels.insert(index) }
            if let shape = object.shape, let index = kinds[1].firstIndex(of: shape) {
                labels.insert(kinds[0].count + index)
            }
        }
        return labels.sorted()
    }

    /// Kinds whose highest score is of a class that the picture has.
    static func right(_ scores: [Float], _ labels: [Int]) -> Int {
        var start = 0, right = 0
        for kind in kinds {
            let range = start..<start + kind.count
            if let best = range.max(by: { scores[$0] < scores[$1] }), labels.contains(best) { right += 1 }
            start = range.upperBound
        }
        return right
    }
}

/// Classes of what pictures show. Pictures are seen as NaViT sees them: each at a size of its own, some of its patches
/// left out, many of them packed into one pass.
final class ClassificationLesson: EncoderLesson {
    private struct Batch {
        var patches: PatchBatch
        var labels: [[Int]]
    }

    let store: ParameterStore
    let measure = "of colours and shapes right"
    private let family: NaViT
    private let objective: Recipe.Objective
    private let model: NaViTClassifier

    init(_ family: NaViT, _ objective: Recipe.Objective, _ store: ParameterStore) throws {
        guard family.classes == SyntheticLabels.count else {
            throw ConfigurationError(
                file: "config.json", field: "num_classes",
                reason: "is \(family.classes); generated pictures have \(SyntheticLabels.count): colours and shapes")
        }
        self.family = family
        self.objective = objective
        self.store = store
        model = try family.makeClassifier(store)
    }

    func part(of parameterName: String) -> ModelPart { family.part(of: parameterName) }

    func loss(_ pictures: GeneratedPictures, from first: Int, _ batch: Recipe.Batch) throws -> EncoderLoss {
        let batch = try sampled(pictures, from: first, count: self.pictures(batch), tokens: batch.tokens)
        return EncoderLoss(
            value: try EncoderObjectives.sigmoidClassification(model(batch.patches), labels: batch.labels),
            counts: EncoderCounts(pictures: batch.labels.count, patches: batch.patches.counts.reduce(0, +)))
    }

    /// Mean loss of a picture, and the part of colours and shapes that have the highest score of their kind.
    func scores(_ pictures: GeneratedPictures, count: Int, _ threads: WorkerThreads) throws -> EncoderScores {
        let size = Self.usualSize
        let parts = try threads.map((count + size - 1) / size) { [self] index in
            let start = index * size
            let batch = try whole(pictures, from: start, count: min(size, count - start))
            return try withoutGradient {
                let scores = try model(batch.patches)
                let loss = try EncoderObjectives.sigmoidClassification(scores, labels: batch.labels).item()
                let values = try scores.to(.float32).floats()
                var right = 0
                for (picture, labels) in batch.labels.enumerated() {
                    let row = values[picture * SyntheticLabels.count..<(picture + 1) * SyntheticLabels.count]
                    right += SyntheticLabels.right(Array(row), labels)
                }
                return (loss: loss * Double(batch.labels.count), right: right)
            }
        }
        return EncoderScores(
            loss: parts.reduce(0) { $0 + $1.loss } / Double(count),
            accuracy: Double(parts.reduce(0) { $0 + $1.right }) / Double(count * SyntheticLabels.kinds.count))
    }

    /// Pictures at sizes drawn for them, with patches left out; those that no longer fit `tokens` wait for no batch:
    /// there are always more.
    private func sampled(_ source: GeneratedPictures, from first: Int, count: Int, tokens: Int) throws -> Batch {
        var pictures: [Tensor] = [], kept: [[Int]] = [], labels: [[Int]] = []
        var sum = 0
        let patch = family.tower.patchSize
        for number in first..<first + count {
            var random = source.choices(number)
            let sample = try source.sample(number)
            let pixels = try family.pixels(sample.image, side: objective.resolution.side(&random))
            let places = pixels.size(1) / patch * (pixels.size(2) / patch)
            let keep = objective.dropping.kept(of: places, pictures: number, &random)
            guard sum + keep.count <= tokens || pictures.isEmpty else { continue }
            sum += keep.count
            pictures.append(pixels)
            kept.append(keep)
            labels.append(SyntheticLabels.labels(of: sample.objects))
        }
        return Batch(
            patches: try PatchBatch(pictures: pictures, patchSize: patch).keeping(kept), labels: labels)
    }

    /// Pictures at the middle of all sizes, with all their patches, for measuring.
    private func whole(_ source: GeneratedPictures, from first: Int, count: Int) throws -> Batch {
        let samples = try (first..<first + count).map { try source.sample($0) }
        let sides = objective.resolution.sides
        let side = (sides.lowerBound + sides.upperBound) / 2
        return Batch(
            patches: try PatchBatch(
                pictures: samples.map { try family.pixels($0.image, side: side) }, patchSize: family.tower.patchSize),
            labels: samples.map { SyntheticLabels.labels(of: $0.objects) })
    }
}
