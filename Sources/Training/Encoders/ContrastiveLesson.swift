internal import Foundation
internal import Models
internal import NN
internal import Text
internal import Torch

/// Pictures find their captions among those of a batch, and captions their pictures: CLIP's softmax over the batch, or
/// SigLIP's question for every pair.
final class ContrastiveLesson: EncoderLesson {
    struct Batch {
        var patches: PatchBatch
        var texts: [[Int32]]
        /// A number for each caption: equal ones have the same.
        var keys: [Double]

        var counts: EncoderCounts {
            EncoderCounts(
                pictures: texts.count, patches: patches.counts.reduce(0, +), words: texts.reduce(0) { $0 + $1.count })
        }
    }

    let store: ParameterStore
    let measure = "of captions and pictures found in their batch"
    private let design: ContrastiveDesign
    private let model: ContrastiveEncoder
    private let resolution: FixedResolution
    private let input: TextTowerInput
    private let contrast: Recipe.Objective.Contrast
    private let negatives: Recipe.Objective.Negatives

    /// - Parameter folder: with the tokenizer and `preprocessor_config.json`.
    init(
        _ design: ContrastiveDesign, _ objective: Recipe.Objective, folder: URL, _ store: ParameterStore
    ) throws {
        self.design = design
        self.store = store
        contrast = objective.contrast ?? (design.kind == .siglip ? .sigmoid : .softmax)
        negatives = objective.negatives
        resolution = try design.resolution(folder: folder)
        input = try TextTowerInput(
            Tokenizer.load(directory: folder.path), design.text, isPadded: design.kind == .siglip)
        model = try design.makeEncoder(store)
    }

    func part(of parameterName: String) -> ModelPart { design.part(of: parameterName) }

    func loss(_ pictures: GeneratedPictures, from first: Int, _ batch: Recipe.Batch) throws -> EncoderLoss {
        let made = try self.batch(pictures, from: first, batch)
        return EncoderLoss(value: try loss(similarities(made)), counts: made.counts)
    }

    func step(
        _ pictures: GeneratedPictures, from firsts: [Int], _ batch: Recipe.Batch, group: ProcessGroup,
        threads: WorkerThreads
    ) throws -> EncoderStep {
        // Where there is one micro-batch, there is nobody else to be told from.
        guard negatives == .step, batch.accumulation > 1 else {
            return separateStep(pictures, from: firsts, batch)
        }
        let step = try ContrastiveStep(self, pictures, from: firsts, batch, group: group, threads: threads)
        // All ranks find the same loss.
        return EncoderStep(loss: group.isMain ? step.loss : 0, pass: step.pass)
    }

    /// Pictures of a micro-batch, at most.
    func most(_ batch: Recipe.Batch) -> Int {
        let perPicture = resolution.width / design.vision.patchSize * (resolution.height / design.vision.patchSize)
        return min(max(2, batch.tokens / perPicture), pictures(batch))
    }

    /// A micro-batch of pictures from a number on. Every thread may ask at the same time.
    func batch(_ pictures: GeneratedPictures, from first: Int, _ batch: Recipe.Batch) throws -> Batch {
        let most = most(batch)
        var samples: [GeneratedPictures.Sample] = [], captions: Set<String> = []
        // A caption that is in the batch already would count as wrong; there are always more pictures.
        for number in first..<first + self.pictures(batch) where samples.count < most {
            let sample = try pictures.sample(number)
            if captions.insert(sample.caption).inserted { samples.append(sample) }
        }
        return try self.batch(samples)
    }

    /// The mean over batches of different captions: the loss, and the part of pictures whose own caption has the highest
    /// score, and of captions whose own picture has.
    func scores(_ pictures: GeneratedPictures, count: Int, _ threads: WorkerThreads) throws -> EncoderScores {
        let batches = try Self.grouped(
            (0..<count).map { try pictures.sample($0) }, size: Self.usualSize)
        let parts = try threads.map(batches.count) { [self] index in
            try withoutGradient {
                let scores = try similarities(batch(batches[index]))
                let own = Array(0..<batches[index].count)
                let byPicture = try scores.argmax(1).integers(), byText = try scores.argmax(0).integers()
                let right = own.count { byPicture[$0] == $0 } + own.count { byText[$0] == $0 }
                return (loss: try loss(scores).item() * Double(own.count), right: right)
            }
        }
        let total = Double(count)
        return EncoderScores(
            loss: parts.reduce(0) { $0 + $1.loss } / total,
            accuracy: Double(parts.reduce(0) { $0 + $1.right }) / (2 * total),
            chance: (
                loss: batches.reduce(0) { $0 + Double($1.count) * blindLoss(pairs: $1.count) } / total,
                accuracy: Double(batches.count) / total
            ))
    }

    /// Pictures in batches in which no caption stands twice, each in the first that has room for it.
    static func grouped(_ samples: [GeneratedPictures.Sample], size: Int) -> [[GeneratedPictures.Sample]] {
        var batches: [(samples: [GeneratedPictures.Sample], captions: Set<String>)] = []
        for sample in samples {
            let place = batches.firstIndex { $0.samples.count < size && !$0.captions.contains(sample.caption) }
            if let place {
                batches[place].samples.append(sample)
                batches[place].captions.insert(sample.caption)
            } else {
                batches.append(([sample], [sample.caption]))
            }
        }
        return batches.map(\.samples)
    }

    /// The least loss of scores that are all alike.
    private func blindLoss(pairs: Int) -> Double {
        let n = Double(pairs)
        switch contrast {
        case .softmax: return log(n)
        case .sigmoid: return pairs > 1 ? log(n) + (n - 1) * log(n / (n - 1)) : 0
        }
    }

    private func batch(_ samples: [GeneratedPictures.Sample]) throws -> Batch {
        let pixels = try Tensor.stack(samples.map { try resolution.pixels($0.image) })
        return Batch(
            patches: try PatchBatch(pixels, patchSize: design.vision.patchSize),
            texts: try samples.map { try input.ids($0.caption) },
            // As many bits as a number between ranks holds.
            keys: samples.map { Double(stableHash($0.caption) >> 12) })
    }

    /// Directions of pictures and of captions, `[pictures, size]` and `[texts, size]`, float32.
    func features(_ batch: Batch) throws -> (pictures: Tensor, texts: Tensor) {
        (try model.features(of: batch.patches), try model.features(of: batch.texts))
    }

    private func similarities(_ batch: Batch) throws -> Tensor {
        let (pictures, texts) = try features(batch)
        return try model.similarities(pictures, texts)
    }

    /// What turns directions into scores.
    var scoring: [Parameter] { [model.logitScale] + (model.logitBias.map { [$0] } ?? []) }

    /// - Parameter valid: the pairs that count.
    func loss(pictures: Tensor, texts: Tensor, valid: [Bool]) throws -> Tensor {
        try loss(model.similarities(pictures, texts), valid: valid)
    }

    private func loss(_ scores: Tensor, valid: [Bool]? = nil) throws -> Tensor {
        switch contrast {
        case .softmax: try EncoderObjectives.softmaxContrastive(scores, valid: valid)
        case .sigmoid: try EncoderObjectives.sigmoidContrastive(scores, valid: valid)
        }
    }
}
