import NN
import Testing
import Torch

/// A checkpoint in memory.
private struct Memory: WeightSource {
    var tensors: [String: Tensor]
    var names: [String] { Array(tensors.keys) }
    func shape(of name: String) -> [Int]? { tensors[name]?.shape }
    func tensor(named name: String) throws -> Tensor { try #require(tensors[name]) }
    func location(of name: String) -> String { "memory" }
}

@Suite struct ParameterStoreTests {
    @Test func everyProblemIsListedAtOnce() throws {
        let source = try Memory(tensors: [
            "a.weight": .zeros([3, 2]), "b.weight": .zeros([3, 2]), "extra": .zeros([1]), "ignored": .zeros([1]),
            "c.weight": Tensor([1, 2, 3, 4] as [Int], shape: [2, 2]),
        ])
        let store = ParameterStore(.checkpoint(source, .fail))
        _ = try Linear(2, 3, bias: true, store.root["a"])
        _ = try Linear(3, 2, bias: false, store.root["b"])
        _ = try Linear(2, 2, bias: false, store.root["c"])
        let error = #expect(throws: WeightError.self) { try store.finish { $0 == "ignored" } }
        #expect(error?.problems.missing == ["a.bias"])
        #expect(error?.problems.unexpected == ["extra"])
        #expect(error?.problems.misshapen.count == 2)
        #expect("\(try #require(error))".contains("b.weight is [3, 2] in memory, the configuration asks for [2, 3]"))
    }

    @Test func numbersDependOnSeedAndNameOnly() throws {
        func weight(_ seed: UInt64, before: Int) throws -> Tensor {
            let store = ParameterStore(.random(seed: seed))
            for index in 0..<before { _ = try Linear(4, 4, bias: false, store.root["other"][index]) }
            return try Linear(5, 6, bias: true, store.root["x"]).weight.tensor
        }
        #expect(try weight(1, before: 0).isEqual(to: weight(1, before: 3)))
        #expect(try !weight(1, before: 0).isEqual(to: weight(2, before: 0)))
    }

    @Test func missingPartsMayStartFresh() throws {
        let source = try Memory(tensors: ["a.weight": .ones([3, 2])])
        let store = ParameterStore(.checkpoint(source, .initialize(seed: 4)), writable: true)
        let layer = try Linear(2, 3, bias: true, store.root["a"])
        try store.finish()
        #expect(store.initialized == ["a.bias"])
        try layer.weight.tensor.fill(5)
        #expect(try source.tensor(named: "a.weight").amax().item() == 1, "a writable store must copy what it loads")
    }

    @Test func shapesCostNothing() throws {
        let store = ParameterStore(.shapes, dtype: .bfloat16)
        let layer = try Linear(1 << 20, 1 << 20, bias: false, store.root)
        #expect(layer.weight.count == 1 << 40)
        try store.finish()
    }
}
