internal import Data
internal import Media
internal import Models
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

/// Generated pictures with their classes, by number.
struct LabelledPictures: Sendable {
    struct Batch {
        var patches: PatchBatch
        var labels: [[Int]]
    }

    private let sources: [(generator: SyntheticGenerator, isBlind: Bool)]
    private let weights: [Double]
    private let seed: UInt64

    /// - Parameter isBlind: whether noise stands in for all pictures.
    /// - Throws: `RecipeError` for sources that are not generated: nobody knows their classes.
    init(_ sources: [Recipe.Source], seed: UInt64, isBlind: Bool = false) throws {
        self.seed = seed
        var opened: [(generator: SyntheticGenerator, isBlind: Bool)] = []
        for source in sources {
            guard case .synthetic(let options) = source.kind else {
                throw RecipeError(
                    file: "the recipe", key: "data",
                    reason: "must be synthetic where there is an objective: classes of other pictures are not known")
            }
            opened.append((try SyntheticGenerator(options), isBlind || source.isBlind))
        }
        self.sources = opened
        weights = sources.map(\.weight)
    }

    private func sample(_ number: Int) throws -> (image: Image, labels: [Int]) {
        var random = SeededGenerator(seed: seed, stream: UInt64(number))
        let source = sources[random.index(weights: weights)]
        let sample = try source.generator.sample(at: number)
        let image = source.isBlind ? Image.noise(like: sample.image, using: &random) : sample.image
        return (image, SyntheticLabels.labels(of: sample.metadata.objects))
    }

    /// Pictures at sizes drawn for them, with patches left out; those that no longer fit `tokens` wait for no batch:
    /// there are always more.
    func batch(
        from first: Int, count: Int, tokens: Int, _ family: NaViT, _ objective: Recipe.Objective
    ) throws -> Batch {
        var pictures: [Tensor] = [], kept: [[Int]] = [], labels: [[Int]] = []
        var sum = 0
        for number in first..<first + count {
            var random = SeededGenerator(seed: seed ^ 0x6E61_7669_74, stream: UInt64(number))
            let sample = try sample(number)
            let pixels = try family.pixels(sample.image, side: objective.resolution.side(&random))
            let places = pixels.size(1) / family.tower.patchSize * (pixels.size(2) / family.tower.patchSize)
            let keep = objective.dropping.kept(of: places, pictures: number, &random)
            guard sum + keep.count <= tokens || pictures.isEmpty else { continue }
            sum += keep.count
            pictures.append(pixels)
            kept.append(keep)
            labels.append(sample.labels)
        }
        return Batch(
            patches: try PatchBatch(pictures: pictures, patchSize: family.tower.patchSize).keeping(kept),
            labels: labels)
    }

    /// Pictures at the middle of all sizes, with all their patches, for measuring.
    func whole(from first: Int, count: Int, _ family: NaViT, _ objective: Recipe.Objective) throws -> Batch {
        let samples = try (first..<first + count).map { try sample($0) }
        let sides = objective.resolution.sides
        let side = (sides.lowerBound + sides.upperBound) / 2
        return Batch(
            patches: try PatchBatch(
                pictures: samples.map { try family.pixels($0.image, side: side) }, patchSize: family.tower.patchSize),
            labels: samples.map(\.labels))
    }
}
