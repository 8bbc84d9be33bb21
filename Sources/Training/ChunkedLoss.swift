internal import Models
internal import NN
internal import Torch

extension VisionLanguageModel {
    /// The summed loss of `targets` (`[n]`) after `hidden` (`[n, hidden]`), with scores for no more than `rows` rows at a
    /// time.
    ///
    /// The gradients of a piece are computed with its scores, which then go: `[n, vocabulary]` never exists. Those of the
    /// head are added up in float32.
    func lossSum(_ hidden: Tensor, _ targets: Tensor, _ loss: TokenLoss, rows: Int) throws -> Tensor {
        let count = targets.count, vocabulary = decoder.vocabularyPart
        // Each rank's part of the vocabulary has a part of the gradient.
        let hidden = try vocabulary?.group.entering(hidden) ?? hidden
        func sum(_ hidden: Tensor, _ targets: Tensor, _ range: Range<Int>) throws -> Tensor {
            try loss.sum(decoder.head(hidden).to(.float32), targets, range, of: vocabulary)
        }
        guard rows < count else { return try sum(hidden, targets, 0..<count) }
        let records = isGradientEnabled
        let learned = records ? decoder.head.weight.learned + (decoder.head.bias?.learned ?? []) : []
        let reachesHidden = records && hidden.requiresGradient
        var ofHidden: [Tensor] = []
        var ofHead: [Tensor?] = Array(repeating: nil, count: learned.count)
        let total = try customFunction(inputs: [hidden] + learned) {
            var total = try Tensor.scalar(0, device: hidden.device)
            for start in stride(from: 0, to: count, by: rows) {
                let range = start..<min(start + rows, count)
                let piece = try hidden.slice(0, range).detach(), wanted = try targets.slice(0, range)
                guard reachesHidden || !learned.isEmpty else {
                    total = try total + sum(piece, wanted, range)
                    continue
                }
                if reachesHidden { try piece.setRequiresGradient(true) }
                let loss = try withGradient { try sum(piece, wanted, range) }
                var found = try Tensor.gradients(
                    of: [loss], weightedBy: [.scalar(1, device: loss.device)],
                    for: (reachesHidden ? [piece] : []) + learned)
                if reachesHidden {
                    let gradient = found.removeFirst()
                    ofHidden.append(
                        try gradient ?? .zeros(piece.shape, dtype: piece.dtype, device: piece.device))
                }
                for (index, gradient) in found.enumerated() {
                    guard let gradient else { continue }
                    if let sum = ofHead[index] {
                        try sum.addInPlace(gradient)
                    } else {
                        ofHead[index] = try gradient.to(.float32)
                    }
                }
                total = try total + loss.detach()
            }
            return [total]
        } backward: { gradients in
            guard let scale = gradients[0] else { return Array(repeating: nil, count: 1 + learned.count) }
            let first = reachesHidden ? try Tensor.cat(ofHidden) * scale.to(hidden.dtype) : nil
            // The head's is as large as the embedding, in float32: no second one, and this one goes.
            let factor = try scale.item()
            defer { ofHead = [] }
            return [first]
                + (try zip(ofHead, learned).map { gradient, leaf in
                    try gradient?.multiplyInPlace(factor)
                    return try gradient?.to(leaf.dtype)
                })
        }
        return total[0]
    }
}
