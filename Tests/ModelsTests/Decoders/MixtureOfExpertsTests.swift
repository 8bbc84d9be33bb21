import NN
import Testing
import Torch

@testable import Models

@Suite struct MixtureOfExpertsTests {
    /// Counts the rows that it computes.
    private final class Counting: FeedForward {
        let inner: any FeedForward
        private(set) var rows = 0

        init(_ inner: any FeedForward) { self.inner = inner }

        func callAsFunction(_ x: Tensor) throws -> Tensor {
            rows += x.size(0)
            return try inner(x)
        }
    }

    private static func mixture(_ experts: Int, _ active: Int = 2) throws -> (MixtureOfExperts, ParameterStore) {
        let store = ParameterStore(.random(seed: 6))
        let mixture = try MixtureOfExperts(
            .init(experts: experts, active: active), hiddenSize: 16, feedForwardSize: 24, activation: .silu,
            store.root, initialization: .normal(0.3))
        return (mixture, store)
    }

    private func tokens(_ count: Int = 40) throws -> Tensor { try RandomGenerator(seed: 7).normal([count, 16]) }

    private func difference(_ a: Tensor, _ b: Tensor) throws -> Double { try (a - b).abs().amax().item() }

    @Test func oneExpertIsDense() throws {
        let (mixture, _) = try Self.mixture(1, 1)
        let x = try tokens()
        #expect(try difference(mixture(x), mixture.experts[0](x)) < 1e-6)
    }

    @Test func anExpertTouchesItsOwnTokensOnly() throws {
        let (mixture, store) = try Self.mixture(6)
        let x = try tokens(), (before, routing) = try mixture.routed(x)
        for name in ["w1", "w2", "w3"] { try #require(store["experts.2.\(name).weight"]).tensor.fill(0) }
        let after = try mixture(x)
        let choices = try routing.experts.integers()
        let changed = try (before - after).abs().amax([1]).doubles()
        var routed = 0
        for token in 0..<40 {
            let isRouted = choices[token * 2] == 2 || choices[token * 2 + 1] == 2
            routed += isRouted ? 1 : 0
            #expect((changed[token] > 0) == isRouted, "token \(token)")
        }
        #expect(routed > 0 && routed < 40)
    }

    @Test func theCostFollowsTheActiveExperts() throws {
        for experts in [2, 4, 16] {
            let (built, _) = try Self.mixture(experts)
            let counting = built.experts.map(Counting.init)
            let mixture = MixtureOfExperts(built.configuration, router: built.router, experts: counting)
            let (output, routing) = try mixture.routed(tokens())
            #expect(counting.map(\.rows) == routing.counts)
            // Two for each token, however many experts there are.
            #expect(routing.counts.reduce(0, +) == 80)
            #expect(try difference(output, built(tokens())) == 0)
        }
    }

    @Test func anEmptyBatchIsNothing() throws {
        let (mixture, _) = try Self.mixture(4)
        #expect(try mixture(Tensor.zeros([0, 16])).shape == [0, 16])
    }

    @Test func balanceIsLeastWhereTokensAreSpreadEvenly() throws {
        // Each token strongly for one of four experts, in turn, and weakly for the next.
        let scores: [Float] = (0..<32).map { place in
            let token = place / 4, expert = place % 4
            return expert == token % 4 ? 9 : expert == (token + 1) % 4 ? 8 : 0
        }
        let even = try Routing(logits: Tensor(scores, shape: [8, 4]), active: 2)
        let skewed = try Routing(
            logits: Tensor((0..<8).flatMap { _ in [Float(9), 8, 0, 0] }, shape: [8, 4]), active: 2)
        let low = try Routing.balanceLoss([even]).item(), high = try Routing.balanceLoss([skewed]).item()
        #expect(abs(low - 2) < 1e-5)
        #expect(high > 3.9)
        #expect(try Routing.routerLoss([even]).item() > 0)
    }
}
