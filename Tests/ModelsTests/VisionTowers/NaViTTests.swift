import Media
import NN
import Testing
import Torch

@testable import Models

/// Properties of packing pictures of any sizes into one pass.
@Suite struct NaViTTests {
    private static func configuration(_ isFractional: Bool) -> VisionTransformerConfiguration {
        .navit(
            hiddenSize: 32, layers: 2, heads: 2, patchSize: 4, feedForwardSize: 48, side: 16, headSize: 16,
            isFractional: isFractional, queryKeyNorm: isFractional ? .layerPerHead : .unitHeads)
    }

    private static func pictures(_ sizes: [(Int, Int)]) throws -> [Tensor] {
        let generator = try RandomGenerator(seed: 3)
        return try sizes.map { try generator.normal([3, $0.0, $0.1]) }
    }

    private func difference(_ a: Tensor, _ b: Tensor) throws -> Double { try (a - b).abs().amax().item() }

    @Test(arguments: [false, true]) func packedEqualsSingle(_ isFractional: Bool) throws {
        let store = ParameterStore(.random(seed: 1))
        let model = try NaViTClassifier(Self.configuration(isFractional), classes: 5, store.root)
        let pictures = try Self.pictures([(8, 12), (40, 8), (64, 64), (4, 4)])
        let packed = try model(PatchBatch(pictures: pictures, patchSize: 4))
        for (index, picture) in pictures.enumerated() {
            let alone = try model(PatchBatch(pictures: [picture], patchSize: 4))
            #expect(try difference(alone, packed.slice(0, index..<index + 1)) < 2e-5)
        }
        // Not all the same: the comparison above would hold for a model that looks at nothing.
        #expect(try difference(packed.slice(0, 0..<1), packed.slice(0, 1..<2)) > 1e-3)
    }

    @Test func droppedPatchesKeepTheirPlaces() throws {
        let store = ParameterStore(.random(seed: 1))
        let tower = try VisionTransformer(Self.configuration(false), store.root)
        let batch = try PatchBatch(pictures: Self.pictures([(12, 16), (8, 8)]), patchSize: 4)
        let all = Array(0..<12), other = Array(0..<4)
        // Keeping everything changes nothing; embeddings of kept patches are those of the whole.
        let kept = try batch.keeping([[1, 6, 11], other])
        let whole = try tower(batch, featureLayer: 0).features, part = try tower(kept, featureLayer: 0).features
        let rows = try whole.indexSelect(0, Tensor([1, 6, 11, 12, 13, 14, 15]))
        #expect(try difference(part, rows) == 0)
        #expect(try difference(tower(batch.keeping([all, other])).features, tower(batch).features) < 1e-6)
        #expect(try tower(kept).segments.lengths == [3, 4])
    }

    @Test func fractionalPositionsTakeAnySize() throws {
        let store = ParameterStore(.random(seed: 1))
        let fractional = try VisionTransformer(Self.configuration(true), store.root)
        let long = try PatchBatch(pictures: Self.pictures([(800, 8)]), patchSize: 4)
        #expect(try fractional(long).features.shape == [400, 32])
        let absolute = try VisionTransformer(Self.configuration(false), ParameterStore(.random(seed: 1)).root)
        #expect(throws: ProcessingError.self) { try absolute(long) }
    }

    @Test func gridsOfResolutions() throws {
        // 480×640 at an area of 128²: 110.9 × 147.8 pixels.
        let grid = try ResolutionSampling.grid(width: 640, height: 480, side: 128, patchSize: 16)
        #expect((grid.height, grid.width) == (7, 9))
        let thin = try ResolutionSampling.grid(width: 4000, height: 4, side: 64, patchSize: 16)
        #expect(thin.height == 1)
        let tight = try ResolutionSampling.grid(width: 640, height: 480, side: 128, patchSize: 16, budget: 60)
        #expect(tight.count <= 60)
        #expect(throws: ProcessingError.self) {
            try ResolutionSampling.grid(width: 640, height: 480, side: 128, patchSize: 16, budget: 20)
        }
        #expect(throws: ProcessingError.self) {
            try ResolutionSampling.grid(width: 0, height: 480, side: 128, patchSize: 16)
        }
        var generator = SeededGenerator(seed: 1)
        let sampling = ResolutionSampling(
            sides: 64...384, distribution: .truncatedNormal(mean: -0.5, deviation: 1))
        let sides = (0..<2000).map { _ in sampling.side(&generator) }
        #expect(sides.allSatisfy { 64...384 ~= $0 })
        let mean = sides.reduce(0, +) / 2000
        #expect(mean > 150 && mean < 224)  // below the middle, 224, because the normal's mean is
    }

    @Test func droppingRates() throws {
        let (a, b) = TokenDropping.betaParameters(mean: 0.5, maximum: 0.7)
        #expect(abs(a - 1.667) < 1e-3 && abs(b - 0.667) < 1e-3)
        var generator = SeededGenerator(seed: 5)
        let dropping = TokenDropping.beta(mean: 0.5, maximum: 0.7)
        let rates = (0..<4000).map { _ in dropping.rate(&generator) }
        #expect(rates.allSatisfy { 0...0.7 ~= $0 })
        let mean = rates.reduce(0, +) / 4000
        #expect(abs(mean - 0.5) < 0.015)
        let variance = rates.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 4000
        let share = 0.5 / 0.7
        #expect(abs(variance - 0.49 * 0.3 * share * (1 - share)) < 0.004)
        let falling = TokenDropping.schedule(first: 0.8, last: 0.2, middle: 100, scale: 10)
        #expect(abs(falling.rate(pictures: 100, &generator) - 0.5) < 1e-12)
        #expect(falling.rate(pictures: 0, &generator) > 0.79)
        #expect(TokenDropping.constant(1).kept(of: 9, &generator).count == 1)
        let kept = TokenDropping.constant(0.5).kept(of: 9, &generator)
        #expect(kept.count == 4 && kept == kept.sorted() && Set(kept).count == 4)
    }

    @Test func firstFitPacking() throws {
        #expect(try firstFit([100, 60, 120, 90, 40], capacity: 256) == [[0, 1, 3], [2, 4]])
        #expect(throws: ProcessingError.self) { try firstFit([300], capacity: 256) }
        var generator = SeededGenerator(seed: 9)
        let lengths = (0..<400).map { _ in generator.integer(4...120) }
        let bins = try firstFit(lengths, capacity: 256)
        #expect(bins.joined().sorted() == Array(0..<400))
        #expect(bins.allSatisfy { $0.reduce(0) { $0 + lengths[$1] } <= 256 })
        let padding = 1 - Double(lengths.reduce(0, +)) / Double(256 * bins.count)
        #expect(padding < 0.1)
    }
}
