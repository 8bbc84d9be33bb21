internal import NN
internal import Torch

/// Sends tokens to the ranks that have the experts they chose, and their outputs back (Lepikhin et al. 2020, section 3.2).
///
/// All ranks must go through the same layers at the same time, each with tokens of its own or with none.
final class ExpertExchange {
    /// See `ProcessGroup.exchangingRows`; another one while a block is computed that will be computed again.
    var anchor: Tensor
    private let group: ProcessGroup
    private let perRank: Int

    /// - Parameter perRank: experts of each rank, the first ones of rank 0.
    init(_ group: ProcessGroup, perRank: Int) throws {
        self.group = group
        self.perRank = perRank
        anchor = try Tensor.zeros([1])
        try anchor.setRequiresGradient(true)
    }

    /// - Parameters:
    ///   - rows: `[places, hidden]`, those of each expert together, in the order of the experts.
    ///   - counts: how many of them each expert has.
    /// - Returns: what the experts make of them, in the same order.
    func computed(_ rows: Tensor, counts: [Int], _ experts: [any FeedForward]) throws -> Tensor {
        let all = try group.gathered(counts.map(Double.init), for: "dealing tokens out to experts")
            .map { $0.map { Int($0) } }
        let own = group.rank * perRank..<(group.rank + 1) * perRank
        let sent = (0..<group.size).map { counts[$0 * perRank..<($0 + 1) * perRank].reduce(0, +) }
        let received = all.map { $0[own].reduce(0, +) }
        let tokens = try group.exchangingRows(rows, sent: sent, received: received, anchor: anchor)
        // They come rank by rank; experts want theirs together.
        var places = [[Int]](repeating: [], count: perRank), next = 0
        for there in all {
            for (index, count) in there[own].enumerated() {
                places[index] += next..<next + count
                next += count
            }
        }
        let order = places.flatMap(\.self)
        var inverse = [Int](repeating: 0, count: order.count)
        for (row, place) in order.enumerated() { inverse[place] = row }
        let device = rows.device
        let computed = try compute(
            tokens.indexSelect(0, Tensor(order).to(device)), experts[own], places.map(\.count)
        ).indexSelect(0, Tensor(inverse).to(device))
        return try group.exchangingRows(computed, sent: received, received: sent, anchor: anchor)
    }
}
