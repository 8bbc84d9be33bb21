internal import NN
internal import Torch

extension Optimizer {
    /// How the norm of the gradients is made up: the norm of each part's. Their squares add up to that of `total`.
    ///
    /// May be asked for after the step, too: clipping scales all gradients alike, and the parts' shares of `total` stay
    /// what they were.
    ///
    /// - Parameters:
    ///   - total: the norm before clipping.
    ///   - part: what a parameter's part is called, by its name.
    func gradientNorms(total: Double, part: (String) -> String) throws -> [String: Double] {
        let names = Set(groups.flatMap(\.slots).map { part($0.parameter.name) }).sorted()
        let squares = try withoutGradient {
            try summed(names.count, for: "adding up the norms of parts") { group in
                var own = Array(repeating: 0.0, count: names.count)
                for (name, range) in stretches(of: group, part: part) {
                    let norm = try group.gradient.slice(0, range.shifted(by: -group.share.lowerBound)).norm().item()
                    if let index = names.firstIndex(of: name) { own[index] += norm * norm }
                }
                return own
            }
        }
        let sum = squares.reduce(0, +)
        return Dictionary(
            uniqueKeysWithValues: zip(names, squares).map { name, square in
                // All nothing, or not finite: then the share says nothing that the total does not.
                (name, sum > 0 && sum.isFinite ? total * (square / sum).squareRoot() : square.squareRoot())
            })
    }

    /// Neighbours of the same part as one range; the gaps between them are zeros.
    private func stretches(of group: Group, part: (String) -> String) -> [(part: String, range: Range<Int>)] {
        var result: [(part: String, range: Range<Int>)] = []
        for slot in group.slots {
            let range = slot.range.clamped(to: group.share), name = part(slot.parameter.name)
            guard !range.isEmpty else { continue }
            if let last = result.last, last.part == name {
                result[result.count - 1].range = last.range.lowerBound..<range.upperBound
            } else {
                result.append((name, range))
            }
        }
        return result
    }
}
