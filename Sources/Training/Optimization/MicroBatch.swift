internal import Models
internal import NN
internal import Torch

/// What one thread computes at a time.
struct MicroBatch {
    var sequences: [ProcessedSequence]
    /// Factor of the summed loss.
    var share: Double
    var lesson: RegionLesson?
    /// A picture that is looked at beside them, and counts nothing.
    var companion: VisualItem?
}

extension MicroBatch {
    /// What a pass over it gives, in as many passes as it takes to fit into memory.
    func passes<Result>(canHalve: () -> Bool, _ pass: (MicroBatch) throws -> Result) throws -> [Result] {
        do {
            try TrainingStep.beforePass?(sequences)
            return [try pass(self)]
        } catch let error as TorchError where error.kind == .outOfMemory && sequences.count > 1 && canHalve() {
            return try halves.flatMap { try $0.passes(canHalve: canHalve, pass) }
        }
    }

    /// Both halves of the sequences: as every token has its share of the loss, their gradients add up to the whole's.
    private var halves: [MicroBatch] {
        let middle = sequences.count / 2
        return [0..<middle, middle..<sequences.count].map { range in
            var half = self
            half.sequences = Array(sequences[range])
            if let lesson, lesson.targets.count == sequences.count {
                half.lesson?.targets = Array(lesson.targets[range])
            }
            if range.lowerBound > 0 { half.companion = nil }
            return half
        }
    }
}

/// What a micro-batch's pictures teach beside its answers.
struct RegionLesson {
    var heads: RegionHeads
    var targets: [RegionTargets]
    /// Factor of the summed loss.
    var share: Double
    /// Factor of the summed loss of attention.
    var lookShare: Double
    /// Whether answers are left out.
    var isAlone: Bool
}

extension VisionLanguageModel {
    /// Features of a picture, times nothing: what else could go through the vision part when this micro-batch has none.
    fileprivate func companion(_ item: VisualItem) throws -> Tensor? {
        try DropoutRandom.$generator.withValue(nil) {
            try vision.map { try $0.features([item], ForwardContext()).to(.float32).sum() * 0 }
        }
    }

    /// The loss of one micro-batch times its share, and its gradients for `leaves`; nil where nothing is supervised.
    func gradients(
        of work: MicroBatch, for leaves: [Tensor], memory: Recipe.Memory, loss: Recipe.Loss, dropPath: DropPath
    ) throws -> (loss: Double, lessons: [(RegionHeads.Lesson, Double)], gradients: [Tensor?])? {
        try withGradient {
            let sequences = work.sequences, lesson = work.lesson
            let input = try ModelInput(sequences), context = ForwardContext(memory)
            context.dropPath = dropPath
            let noted = lesson?.heads.observation(of: context, looking: (lesson?.lookShare ?? 0) > 0)
            context.unseen = try work.companion.flatMap { try companion($0) }
            let part: Tensor
            if lesson?.isAlone == true, let vision {
                if !input.items.isEmpty {
                    try context.observe("vision.features", vision.features(input.items, context))
                }
                part = try .scalar(0, device: decoder.embedding.weight.tensor.device)
            } else {
                guard let sum = try lossSum(sequences, input, context, rows: memory.lossRows, loss) else { return nil }
                part = try sum * work.share
            }
            var total = part
            var lessons: [(RegionHeads.Lesson, Double)] = []
            if let lesson, let noted {
                for (kind, loss) in try lesson.heads.losses(noted, input, lesson.targets) {
                    total = try total + loss * lesson.share
                    lessons.append((kind, try loss.item()))
                }
                if let loss = try lesson.heads.lookLoss(noted, input, lesson.targets) {
                    total = try total + loss * lesson.lookShare
                    lessons.append((.look, try loss.item()))
                }
                for (kind, loss) in try lesson.heads.askedLosses(noted, lesson.targets) {
                    total = try total + loss * lesson.lookShare
                    lessons.append((kind, try loss.item()))
                }
            }
            // Where nothing that learns has a part in it, as the tower in text, it is a loss all the same.
            guard total.requiresGradient else { return (try part.item(), lessons, leaves.map { _ in nil }) }
            let gradients = try Tensor.gradients(
                of: [total], weightedBy: [.scalar(1, device: total.device)], for: leaves)
            return (try part.item(), lessons, gradients)
        }
    }
}
