import NN
import Testing
import Torch

@testable import Models

@Suite struct EncoderTests {
    private static func tower(_ isCausal: Bool) throws -> TextTower {
        try TextTower(
            .init(
                vocabularySize: 10, hiddenSize: 32, layers: 2, heads: 2, feedForwardSize: 64, maxTokens: 4,
                isCausal: isCausal), ParameterStore(.random(seed: 3)).root)
    }

    @Test(arguments: [true, false]) func theLastTokenSeesTheWholeText(_ isCausal: Bool) throws {
        let tower = try Self.tower(isCausal)
        let all = try tower([[1, 2, 9], [3, 2, 9], [1, 4, 9], [1, 2, 9]])
        func difference(_ a: Int, _ b: Int) throws -> Double {
            try (all.select(0, a) - all.select(0, b)).abs().amax().item()
        }
        #expect(try difference(0, 3) < 1e-6)
        #expect(try difference(0, 1) > 1e-4)
        #expect(try difference(0, 2) > 1e-4)
        // Texts of other lengths beside it change nothing.
        let alone = try tower([[3, 2, 9]]), beside = try tower([[5], [3, 2, 9], [1, 1, 1, 1]])
        #expect(try (alone.select(0, 0) - beside.select(0, 1)).abs().amax().item() < 1e-6)
    }

    @Test func badTexts() throws {
        let tower = try Self.tower(true)
        #expect(throws: ProcessingError.contextLength(tokens: 5, limit: 4)) { try tower([[1, 2, 3, 4, 5]]) }
        #expect(throws: ProcessingError.tokenOutOfRange(id: 10, index: 1, vocabulary: 10)) { try tower([[1, 10]]) }
        #expect(throws: ProcessingError.self) { try tower([[]]) }
    }
}
