internal import NN
internal import Torch

/// A step in which the pictures and captions of all micro-batches of all ranks are told from one another, in the memory of
/// one micro-batch (Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited setup"): features
/// of each micro-batch without its graph, the loss of all of them and its gradients by the features on every rank, and
/// then each micro-batch again, with these gradients.
struct ContrastiveStep {
    /// Of all micro-batches together.
    let loss: Double
    private let lesson: ContrastiveLesson
    /// This rank's, in order.
    private let batches: [ContrastiveLesson.Batch]
    /// By the features of pictures and texts of each, `[pictures, size]` and `[texts, size]`.
    private let gradients: [(pictures: Tensor, texts: Tensor)]
    /// By what turns features into scores; empty on all ranks but the first, because all find the same.
    private let shared: [(parameter: Parameter, gradient: Tensor)]

    /// - Parameters:
    ///   - firsts: the number of the first picture of each of this rank's micro-batches. Micro-batches are dealt out to
    ///     ranks in turn, and every rank has as many.
    init(
        _ lesson: ContrastiveLesson, _ pictures: GeneratedPictures, from firsts: [Int], _ batch: Recipe.Batch,
        group: ProcessGroup, threads: WorkerThreads
    ) throws {
        let own = try threads.map(firsts.count) { index in
            try withoutGradient {
                let made = try lesson.batch(pictures, from: firsts[index], batch)
                return (batch: made, features: try lesson.features(made))
            }
        }
        // Every micro-batch takes as much room as the largest may need.
        let most = lesson.most(batch), size = own[0].features.pictures.size(1)
        let table = try Tensor.zeros([own.count * most, 2 * size], device: own[0].features.pictures.device)
        var keys = Array(repeating: -1.0, count: own.count * most)
        for (index, part) in own.enumerated() {
            let rows = try table.slice(0, index * most..<index * most + part.batch.keys.count)
            try rows.copy(from: Tensor.cat([part.features.pictures, part.features.texts], dimension: 1))
            keys.replaceSubrange(index * most..<index * most + part.batch.keys.count, with: part.batch.keys)
        }
        let everything = try Tensor.empty([group.size * own.count * most, 2 * size], device: table.device)
        try group.allGather(table, into: everything, for: "gathering features")
        let allKeys = try group.gathered(keys, for: "gathering captions").flatMap { $0 }

        // In the order that one process would have, which rounds alike.
        var order: [Int] = [], ranges: [Range<Int>] = []
        for index in 0..<own.count {
            for rank in 0..<group.size {
                let start = (rank * own.count + index) * most
                let rows = (start..<start + most).filter { allKeys[$0] >= 0 }
                if rank == group.rank { ranges.append(order.count..<order.count + rows.count) }
                order += rows
            }
        }
        // A caption that was there before would count as wrong.
        var seen: Set<Double> = []
        let valid = order.map { seen.insert(allKeys[$0]).inserted }
        let index = try Tensor(order).to(everything.device)
        let (features, texts) = try withoutGradient {
            let ordered = try everything.indexSelect(0, index)
            return (
                try ordered.slice(1, 0..<size).contiguous(), try ordered.slice(1, size..<2 * size).contiguous()
            )
        }
        let learning = lesson.scoring.filter { $0.tensor.requiresGradient }
        let (value, found) = try withGradient {
            try features.setRequiresGradient(true)
            try texts.setRequiresGradient(true)
            let loss = try lesson.loss(pictures: features, texts: texts, valid: valid)
            return (
                try loss.item(),
                try Tensor.gradients(
                    of: [loss], weightedBy: [.scalar(1, device: loss.device)],
                    for: [features, texts] + learning.map(\.tensor))
            )
        }
        loss = value
        self.lesson = lesson
        batches = own.map(\.batch)
        gradients = try withoutGradient {
            try ranges.map { range in
                func part(_ index: Int, of whole: Tensor) throws -> Tensor {
                    try (found[index] ?? Tensor.zeros(whole.shape, device: whole.device)).slice(0, range)
                }
                return (try part(0, of: features), try part(1, of: texts))
            }
        }
        shared =
            group.isMain ? zip(learning, found.dropFirst(2)).compactMap { item in item.1.map { (item.0, $0) } } : []
    }

    /// What a micro-batch is made of, and what its gradients begin with.
    func pass(_ index: Int) throws -> EncoderPass {
        let batch = batches[index], found = try lesson.features(batch)
        var pass = EncoderPass(
            outputs: [found.pictures, found.texts], gradients: [gradients[index].pictures, gradients[index].texts],
            loss: 0, counts: batch.counts)
        guard index == 0, !shared.isEmpty else { return pass }
        pass.outputs += shared.map(\.parameter.tensor)
        pass.gradients += shared.map(\.gradient)
        return pass
    }
}
