internal import Foundation
internal import Models
internal import NN
internal import Safetensors
internal import Torch

/// What an encoder learns by: how generated pictures become a loss, and how well it does on those it does not learn from.
protocol EncoderLesson: AnyObject {
    var store: ParameterStore { get }
    func part(of parameterName: String) -> ModelPart

    /// The mean loss of a micro-batch of pictures from a number on. Every thread may ask at the same time.
    func loss(_ pictures: GeneratedPictures, from first: Int, _ batch: Recipe.Batch) throws -> EncoderLoss

    /// Begins a step: what each of this rank's micro-batches adds to it.
    ///
    /// - Parameters:
    ///   - firsts: the number of the first picture of each of them. They are dealt out to ranks in turn, and every rank has
    ///     as many.
    func step(
        _ pictures: GeneratedPictures, from firsts: [Int], _ batch: Recipe.Batch, group: ProcessGroup,
        threads: WorkerThreads
    ) throws -> EncoderStep

    /// Loss and accuracy on the first pictures.
    func scores(_ pictures: GeneratedPictures, count: Int, _ threads: WorkerThreads) throws -> EncoderScores

    /// What accuracy is the share of, behind a percentage: `of colours and shapes right`.
    var measure: String { get }
}

extension EncoderLesson {
    /// Pictures of a micro-batch where the recipe does not say, and of a held-out batch.
    static var usualSize: Int { 32 }

    func pictures(_ batch: Recipe.Batch) -> Int { batch.maxSamples ?? Self.usualSize }

    /// The mean over micro-batches that know nothing of each other.
    func separateStep(
        _ pictures: GeneratedPictures, from firsts: [Int], _ batch: Recipe.Batch
    ) -> EncoderStep {
        let share = 1 / Double(batch.accumulation)
        return EncoderStep { [self] index in
            let made = try loss(pictures, from: firsts[index], batch)
            return EncoderPass(
                outputs: [made.value], gradients: [try .scalar(share, device: made.value.device)],
                loss: try made.value.item() * share, counts: made.counts)
        }
    }

    func step(
        _ pictures: GeneratedPictures, from firsts: [Int], _ batch: Recipe.Batch, group: ProcessGroup,
        threads: WorkerThreads
    ) throws -> EncoderStep {
        separateStep(pictures, from: firsts, batch)
    }
}

struct EncoderStep {
    /// What this rank adds to the step's loss beside its micro-batches'.
    var loss = 0.0
    /// By the number of this rank's micro-batch. Every thread may ask at the same time.
    var pass: (Int) throws -> EncoderPass

    init(loss: Double = 0, pass: @escaping (Int) throws -> EncoderPass) {
        self.loss = loss
        self.pass = pass
    }
}

/// A micro-batch's loss, and what it was made of.
struct EncoderLoss {
    var value: Tensor
    var counts: EncoderCounts
}

struct EncoderCounts {
    var pictures: Int
    var patches: Int
    /// Tokens of text beside the patches.
    var words = 0
}

/// A micro-batch's part of a step.
struct EncoderPass {
    var outputs: [Tensor]
    /// Of the step's loss by the outputs.
    var gradients: [Tensor]
    /// Its part of the step's loss.
    var loss: Double
    var counts: EncoderCounts
}

struct EncoderScores {
    var loss: Double
    var accuracy: Double
    /// The same of a guess that sees nothing; nil where the blind measure tells it.
    var chance: (loss: Double, accuracy: Double)?
}

extension Recipe {
    /// The encoder of the recipe's objective, with its weights.
    ///
    /// - Parameters:
    ///   - folder: with the configuration.
    ///   - weights: where they come from.
    func makeLesson(
        _ objective: Objective, folder: URL, _ weights: ParameterStore.Origin, _ device: Device
    ) throws -> any EncoderLesson {
        let (reader, type) = try ModelRegistry.reader(
            folder.appendingPathComponent("config.json"), ofTypes: objective.kind.modelTypes,
            for: "objective \(objective.kind.rawValue)")
        let store = ParameterStore(weights, dtype: .float32, device: device, writable: true)
        switch objective.kind {
        case .classification: return try ClassificationLesson(NaViT(reader), objective, store)
        case .contrastive:
            let design = try type == "clip" ? ContrastiveDesign(clip: reader) : ContrastiveDesign(siglip: reader)
            for stage in stages where stage.batch.maxSamples == 1 {
                if objective.negatives == .step, stage.batch.accumulation > 1 { continue }
                throw RecipeError(
                    file: name, key: "stages.\(stage.name).batch.max_samples",
                    reason: "is 1; a picture is told from others of its batch, so there must be some")
            }
            return try ContrastiveLesson(design, objective, folder: folder, store)
        case .autoregressive:
            if heldOut?.comparesBlind == true {
                throw RecipeError(
                    file: name, key: "held_out.blind",
                    reason: "has no use here: pixels of noise are nothing that a blind model could guess; the mean of "
                        + "the pixels is compared with instead")
            }
            return try AutoregressiveLesson(AutoregressiveDesign(reader), folder: folder, store)
        }
    }
}

extension Recipe.Objective.Kind {
    /// What `config.json` says of models that learn by it.
    var modelTypes: [String] {
        switch self {
        case .classification: ["navit"]
        case .contrastive: ["clip", "siglip"]
        case .autoregressive: ["aim"]
        }
    }
}
