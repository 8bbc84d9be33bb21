import Testing

@testable import Training

@Suite("Micro-batches are dealt out evenly")
struct BatchDealTests {
    private func size(_ tokens: Int, patches: Int = 0, supervised: Int = 1) -> SampleSize {
        var size = SampleSize()
        (size.samples, size.tokens, size.patches, size.supervised) = (1, tokens, patches, supervised)
        size.pictures = patches > 0 ? 1 : 0
        return size
    }

    @Test("Each is computed once, each rank computes as many, and costs are closer than in turn")
    func even() {
        var sum = 0.0, sumInTurn = 0.0
        for seed in 1...50 {
            // A few are much dearer than others.
            let costs = (0..<16).map { index in
                10 + (index * 7919 + seed * 104_729) % 90 + ((index * seed) % 5 == 0 ? 200 : 0)
            }
            let deal = BatchDeal(costs.map { [size($0)] }, ranks: 4, keepsStep: false) { Double($0.tokens) }
            #expect(deal.work.allSatisfy { $0.count == 4 })
            #expect(deal.work.joined().map(\.microBatch).sorted() == Array(0..<16))
            // Gradients are added in the order of the micro-batches.
            #expect(deal.work.allSatisfy { $0.map(\.microBatch) == $0.map(\.microBatch).sorted() })
            let totals = (0..<4).map { rank in Double((0..<4).reduce(0) { $0 + costs[$1 * 4 + rank] }) }
            let mean = totals.reduce(0, +) / 4
            sum += deal.imbalance
            sumInTurn += (totals.max() ?? 0) / mean - 1
        }
        #expect(sum < 0.65 * sumInTurn, "\(sum / 50) against \(sumInTurn / 50)")
    }

    @Test("Ranks that keep step compute what costs about the same at a time")
    func alike() {
        let costs = [5, 900, 20, 870, 400, 390, 15, 8]
        let deal = BatchDeal(costs.map { [size($0)] }, ranks: 2, keepsStep: true) { Double($0.tokens) }
        let times = (0..<4).map { time in Set(deal.work.map { costs[$0[time].microBatch] }) }
        #expect(times == [[900, 870], [400, 390], [20, 15], [8, 5]])
    }

    @Test("Who has nothing to learn or to see borrows the smallest of what others have at the time")
    func borrowed() {
        let sizes = [
            [size(50, patches: 40), size(30, patches: 16)], [size(60)], [], [size(10, supervised: 0)],
        ]
        let deal = BatchDeal(sizes, ranks: 4, keepsStep: true) { Double($0.tokens) }
        #expect(deal.work.allSatisfy { $0.count == 1 })
        for work in deal.work.joined() {
            let smallest = BatchDeal.Place(microBatch: 0, index: 1)
            switch work.microBatch {
            case 0: #expect(work.borrowed == nil && work.companion == nil)
            case 1: #expect(work.borrowed == nil && work.companion == smallest)
            // What they borrow has a picture itself.
            default: #expect(work.borrowed == smallest && work.companion == nil)
            }
        }
        let needs = (0..<4).flatMap { deal.needed(by: $0, sizes.map(\.count)) }
        #expect(needs.count == 2 + 1 + 1 + 1 + 1)
        // One process by itself takes them as they come.
        let alone = BatchDeal(sizes, ranks: 1, keepsStep: false) { Double($0.tokens) }
        #expect(alone.work[0].map(\.microBatch) == [0, 1, 2, 3])
    }
}
