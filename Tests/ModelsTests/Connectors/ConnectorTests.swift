import Foundation
import NN
import Testing
import Torch

@testable import Models

@Suite struct ConnectorTests {
    private func difference(_ a: Tensor, _ b: Tensor) throws -> Double { try (a - b).abs().amax().item() }

    private func random(_ shape: [Int], seed: UInt64 = 4) throws -> Tensor {
        try RandomGenerator(seed: seed).normal(shape)
    }

    @Test func attentionPoolKeepsPicturesApart() throws {
        let pool = try AttentionPool(
            inputSize: 16, outputSize: 24, heads: 4, queries: 5, ParameterStore(.random(seed: 1)).root)
        let x = try random([30, 16]), segments = Segments(lengths: [7, 20, 3])
        let packed = try pool(x, segments)
        #expect(packed.shape == [15, 24])
        for index in 0..<3 {
            let range = segments.range(index)
            let alone = try pool(x.slice(0, range), Segments(lengths: [range.count]))
            #expect(try difference(alone, packed.slice(0, index * 5..<index * 5 + 5)) < 1e-6)
        }
        #expect(try difference(packed.slice(0, 0..<5), packed.slice(0, 5..<10)) > 1e-4)
    }

    @Test func resamplerKeepsPicturesApart() throws {
        let resampler = try PerceiverResampler(
            .init(size: 16, depth: 2, heads: 2, headSize: 8, latents: 4, maxPictures: 3, maxFrames: 2),
            ParameterStore(.random(seed: 1)).root)
        let x = try random([26, 16]), segments = Segments(lengths: [6, 16, 4])
        let packed = try resampler(x, segments, frames: [2, 1, 1], numbers: [0, 1, 2])
        for index in 0..<3 {
            let range = segments.range(index)
            let alone = try resampler(
                x.slice(0, range), Segments(lengths: [range.count]), frames: [index == 0 ? 2 : 1], numbers: [index])
            #expect(try difference(alone, packed.slice(0, index * 4..<index * 4 + 4)) < 1e-5)
        }
        #expect(throws: ProcessingError.self) { try resampler(x, segments, frames: [2, 1, 1], numbers: [0, 1, 3]) }
        #expect(throws: ProcessingError.self) { try resampler(x, segments, frames: [4, 1, 1]) }
    }

    @Test func averagePoolingIsTheMeanOfEachBlock() throws {
        let pool = try AveragePool(side: 2, inputSize: 3, outputSize: 5, ParameterStore(.random(seed: 1)).root)
        let x = try random([1, 16, 3])
        let pooled = try pool.pooled(x, height: 4, width: 4)
        let block = try x.indexSelect(1, Tensor([2, 3, 6, 7])).mean([1])
        #expect(try difference(pooled.select(1, 1), block) < 1e-6)
    }

    @Test func cAbstractorTakesOtherGrids() throws {
        let connector = try CAbstractor(
            .init(inputSize: 16, hiddenSize: 12, outputSize: 20, depth: 1, queries: 144, positionSide: 27),
            ParameterStore(.random(seed: 1)).root)
        #expect(try connector(random([2, 729, 16]), height: 27, width: 27).shape == [2, 144, 20])
        #expect(try connector(random([1, 48 * 20, 16]), height: 48, width: 20).shape == [1, 144, 20])
    }

    /// With an input width of 1280, a hidden one of 1024 and an output of 4096 the parts of MM1's connector have 9.62,
    /// 7.91, 20.98 and 0.93 million parameters.
    @Test func cAbstractorHasThePublishedSize() throws {
        let store = ParameterStore(.shapes)
        _ = try CAbstractor(.init(inputSize: 1280, outputSize: 4096, positionSide: 27), store.root)
        func count(_ prefix: String) -> Double {
            Double(store.parameters.filter { $0.name.hasPrefix(prefix) }.reduce(0) { $0 + $1.count }) / 1e6
        }
        #expect(abs(count("net.0") - 9.62) < 0.01)
        #expect(abs(count("net.2") - 7.91) < 0.01)
        #expect(abs(count("readout") - 20.98) < 0.01)
        #expect(abs(count("pos_emb") - 0.93) < 0.01)
    }

    @Test(arguments: [
        (#"{"projector_type": "d-abs"}"#, "projector_type"),
        (#"{"projector_type": "c-abs", "num_query_tokens": 10}"#, "num_query_tokens"),
        (#"{"projector_type": "c-abs", "num_query_tokens": 9, "num_input_tokens": 26}"#, "num_input_tokens"),
        (#"{"projector_type": "c-abs", "num_query_tokens": 9}"#, "num_input_tokens"),
    ]) func badConfigurations(_ json: String, _ field: String) throws {
        let fields = try JSONDecoder().decode([String: JSONValue].self, from: Data(json.utf8))
        let reader = ConfigurationReader(file: "config.json", fields: fields)
        let error = #expect(throws: ConfigurationError.self) { try CAbstractor.Configuration(reader) }
        #expect(error?.field == field)
    }

    @Test func sinesAndCosinesOfAGrid() {
        let expected: [Float] = [
            0.841471, 0.099833, 0.01, 0.001, 0.540302, 0.995004, 0.99995, 1, 0, 0, 0, 0, 1, 1, 1, 1,
        ]
        let right = sineCosine(column: 1, row: 0, size: 16), below = sineCosine(column: 0, row: 1, size: 16)
        #expect(zip(right, expected).allSatisfy { abs($0 - $1) < 1e-5 })
        #expect(zip(below, expected.suffix(8) + expected.prefix(8)).allSatisfy { abs($0 - $1) < 1e-5 })
    }
}
