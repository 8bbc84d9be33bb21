import Foundation
import Media
import Models
import NN
import Testing
import Torch

@testable import Training

/// Encoders learn by each of their objectives, on data small enough for a test.
@Suite("Encoder objectives", .serialized)
struct ObjectiveTests {
    private static let tower = VisionTransformerConfiguration(
        hiddenSize: 32, layers: 2, heads: 2, feedForwardSize: 64, patchSize: 4, positions: .table(side: 4),
        keys: .transformers, patchEmbedding: .convolution(bias: false), hasClassToken: true, hasEmbeddingNorm: true,
        finalNorm: .classToken, activation: .quickGelu)

    private func optimizer(_ store: ParameterStore) throws -> ObjectiveStep {
        ObjectiveStep(
            try Optimizer(
                store.parameters.filter { !$0.isConstant }, dtype: .float32,
                settings: AdamWOptions(rate: 1, beta2: 0.95, weightDecay: 0)))
    }

    /// Pictures of eight colours with noise, and a text of two tokens for each colour.
    private func pairs(_ seed: UInt64) throws -> (pictures: PatchBatch, texts: [[Int32]]) {
        let generator = try RandomGenerator(seed: seed)
        let pixels = try (0..<8).map { index in
            let values: [Float] = (0..<3).map { index >> $0 & 1 == 1 ? 1 : -1 }
            let colour = try Tensor(values, shape: [3, 1, 1])
            return try colour + generator.normal([3, 16, 16]) * 0.3
        }
        let texts: [[Int32]] = (Int32(0)..<8).map { [$0 % 4 + 1, $0 / 4 + 5, 9] }
        return (try PatchBatch(Tensor.stack(pixels), patchSize: 4), texts)
    }

    @Test("Contrastive learning finds each picture's text", arguments: [true, false])
    func contrastive(_ isSoftmax: Bool) throws {
        let store = ParameterStore(.random(seed: 11), writable: true)
        var vision = Self.tower
        if !isSoftmax {
            vision.hasClassToken = false
            vision.hasEmbeddingNorm = false
            vision.finalNorm = .allTokens
        }
        let model = try ContrastiveEncoder(
            isSoftmax ? .clip(projectionSize: 16) : .siglip, vision: vision,
            text: .init(
                vocabularySize: 10, hiddenSize: 32, layers: 1, heads: 2, feedForwardSize: 64, maxTokens: 4,
                isCausal: isSoftmax, hasHead: !isSoftmax), store.root)
        let step = try optimizer(store)
        var losses: [Double] = []
        for index in 0..<(isSoftmax ? 64 : 32) {
            let (pictures, texts) = try pairs(UInt64(100 + index))
            losses.append(
                try step(rate: isSoftmax ? 1e-3 : 3e-3) {
                    let scores = try model.similarities(
                        model.features(of: pictures), model.features(of: texts))
                    return try isSoftmax
                        ? EncoderObjectives.softmaxContrastive(scores)
                        : EncoderObjectives.sigmoidContrastive(scores)
                })
        }
        let first = try #require(losses.first), last = try #require(losses.last)
        #expect(last < first / 4, "from \(first) to \(last)")
        // Pictures that it has not seen find their texts, and the texts their pictures.
        let (pictures, texts) = try pairs(7)
        let scores = try withoutGradient {
            try model.similarities(model.features(of: pictures), model.features(of: texts))
        }
        #expect(try scores.argmax(1).integers() == Array(0..<8))
        #expect(try scores.argmax(0).integers() == Array(0..<8))
    }

    @Test("Pairs that fill up a batch count nowhere")
    func fakePairs() throws {
        let scores = try RandomGenerator(seed: 2).normal([5, 5])
        let real = try scores.indexSelect(0, Tensor([0, 2, 3])).indexSelect(1, Tensor([0, 2, 3]))
        let valid = [true, false, true, true, false]
        for loss in [EncoderObjectives.softmaxContrastive, EncoderObjectives.sigmoidContrastive] {
            #expect(try loss(scores, valid).item() == loss(real, nil).item())
        }
        #expect(throws: ProcessingError.self) { try EncoderObjectives.softmaxContrastive(Tensor.zeros([2, 3])) }
    }

    @Test("SigLIP's loss is that of the formula")
    func sigmoidFormula() throws {
        // -log σ(z · t) over all pairs, by the number of pictures.
        let scores = try Tensor([Float(2), -1, 0.5, 3], shape: [2, 2])
        func nll(_ x: Double) -> Double { log(1 + exp(-x)) }
        let expected = (nll(2) + nll(1) + nll(-0.5) + nll(3)) / 2
        #expect(abs(try EncoderObjectives.sigmoidContrastive(scores).item() - expected) < 1e-6)
    }

    @Test("NaViT learns to classify pictures of any size, patches dropped", arguments: [true, false])
    func classification(_ isSigmoid: Bool) throws {
        let store = ParameterStore(.random(seed: 12), writable: true)
        let model = try NaViTClassifier(
            .navit(
                hiddenSize: 32, layers: 2, heads: 2, patchSize: 4, feedForwardSize: 64, side: 16, headSize: 16,
                isFractional: true), classes: 3, store.root)
        let step = try optimizer(store)
        var generator = SeededGenerator(seed: 21)
        /// Which of the three colours is brightest.
        func batch(_ count: Int, dropping: Bool) throws -> (PatchBatch, [Int]) {
            let noise = try RandomGenerator(seed: generator.next() % 1_000_000)
            var labels: [Int] = [], pictures: [Tensor] = []
            for _ in 0..<count {
                let label = generator.integer(0...2)
                let size = (generator.integer(2...9) * 4, generator.integer(2...9) * 4)
                let values: [Float] = (0..<3).map { $0 == label ? 1 : -0.5 }
                let colour = try Tensor(values, shape: [3, 1, 1])
                pictures.append(try colour + noise.normal([3, size.0, size.1]) * 0.5)
                labels.append(label)
            }
            let whole = try PatchBatch(pictures: pictures, patchSize: 4)
            guard dropping else { return (whole, labels) }
            let rule = TokenDropping.beta(mean: 0.4, maximum: 0.7)
            return (try whole.keeping(whole.grids.map { rule.kept(of: $0.count, &generator) }), labels)
        }
        var losses: [Double] = []
        for _ in 0..<40 {
            let (pictures, labels) = try batch(12, dropping: true)
            losses.append(
                try step(rate: 2e-3) {
                    let scores = try model(pictures)
                    return try isSigmoid
                        ? EncoderObjectives.sigmoidClassification(scores, labels: labels.map { [$0] })
                        : EncoderObjectives.classification(scores, labels: labels)
                })
        }
        let first = try #require(losses.first), last = losses.suffix(5).reduce(0, +) / 5
        #expect(last < first / 3, "from \(first) to \(last)")
        let (pictures, labels) = try batch(60, dropping: false)
        let found = try withoutGradient { try model(pictures).argmax(1).integers() }
        let right = zip(found, labels).count { $0 == $1 }
        #expect(right >= 57, "\(right) of 60 pictures it has not seen")
        #expect(throws: ProcessingError.self) {
            try EncoderObjectives.classification(Tensor.zeros([1, 3]), labels: [3])
        }
    }

    @Test("AIM learns to predict patches from those before them")
    func autoregressive() throws {
        let store = ParameterStore(.random(seed: 13), writable: true)
        let model = try AutoregressiveImageModel(
            AutoregressiveImageModel.tower(hiddenSize: 32, layers: 2, heads: 2, feedForwardSize: 64, patchSize: 4),
            headSize: 64, headDepth: 1, store.root)
        let step = try optimizer(store)
        var generator = SeededGenerator(seed: 31)
        /// Stripes of a picture's own direction and phase: the first patches tell all others.
        func batch() throws -> PatchBatch {
            let pictures = try (0..<8).map { _ in
                let phase = generator.integer(0...3), isVertical = generator.chance(0.5)
                let values = (0..<3).flatMap { channel in
                    (0..<256).map { place -> Float in
                        let along = isVertical ? place % 16 : place / 16
                        return (along + phase + channel) % 4 < 2 ? 1 : -1
                    }
                }
                return try Tensor(values, shape: [3, 16, 16])
            }
            return try PatchBatch(Tensor.stack(pictures), patchSize: 4)
        }
        var losses: [Double] = []
        for _ in 0..<80 {
            let batch = try batch(), prefixes = (0..<8).map { _ in generator.integer(1...8) }
            losses.append(
                try step(rate: 3e-3) {
                    try EncoderObjectives.autoregressive(
                        model.predictions(batch, prefixes: prefixes), batch, prefixes: prefixes)
                })
        }
        let first = try #require(losses.first), last = losses.suffix(5).reduce(0, +) / 5
        // Predicting the mean of normalised patches gives 1.
        #expect(first > 0.9 && last < 0.2, "from \(first) to \(last)")
        let batch = try batch()
        #expect(throws: ProcessingError.self) {
            try EncoderObjectives.autoregressive(batch.patches, batch, prefixes: [16] + [Int](repeating: 1, count: 7))
        }
    }
}

@Suite("Losses of routers")
struct RouterLossTests {
    @Test("The losses of routers join the language loss, and reach the routers")
    func joined() throws {
        var configuration = DecoderConfiguration(
            vocabularySize: 32, hiddenSize: 16, feedForwardSize: 24, layers: 2, heads: 2, keyValueHeads: 2)
        configuration.expertsEvery = 2
        func loss(_ balance: Double, _ router: Double) throws -> (value: Double, store: ParameterStore) {
            configuration.experts = .init(experts: 4, balanceWeight: balance, routerWeight: router)
            let store = ParameterStore(.random(seed: 5), writable: true)
            let decoder = try LanguageDecoder(configuration, store.root)
            let model = VisionLanguageModel(vision: nil, decoder: decoder, store: store, part: { _ in .decoder })
            for parameter in store.parameters { try parameter.tensor.setRequiresGradient(true) }
            let rows = (0..<12).map {
                TokenRow(id: Int32($0 * 5 % 32), position: SIMD3(repeating: Int32($0)), isSupervised: $0 > 3)
            }
            let sum = try #require(
                try model.lossSum([ProcessedSequence(rows: rows, items: [], nextPosition: 12, promptText: "")]))
            try sum.backward()
            return (try sum.item(), store)
        }
        let plain = try loss(0, 0), balanced = try loss(0.01, 0), both = try loss(0.01, 0.001)
        // Nearly even routing of two choices gives a balance of about 2, for each of 8 supervised tokens.
        #expect(abs(balanced.value - plain.value - 8 * 0.02) < 0.02)
        #expect(both.value > balanced.value)
        let name = "model.layers.1.block_sparse_moe.gate.weight"
        let with = try #require(both.store[name]?.tensor.gradient),
            without = try #require(plain.store[name]?.tensor.gradient)
        #expect(try (with - without).abs().amax().item() > 1e-6)
    }
}
