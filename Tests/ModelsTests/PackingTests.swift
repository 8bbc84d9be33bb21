import Foundation
import ModelTestSupport
import Models
import NN
import Testing
import Torch

/// Sequences share a batch and nothing else.
@Suite(.serialized) struct PackingTests {
    private func logits(_ model: VisionLanguageModel, _ sequences: [ProcessedSequence]) throws -> [Tensor] {
        let input = try ModelInput(sequences)
        let all = try model.logits(model.hiddenStates(input))
        return try sequences.indices.map { try all.slice(0, input.segments.range($0)) }
    }

    @Test func packedEqualsUnpacked() throws {
        let tiny = try TinyQwen2VL()
        let sequences = try tiny.mixedPrompts()
        let packed = try logits(tiny.model, sequences)
        let reversed = try logits(tiny.model, sequences.reversed())
        for (index, sequence) in sequences.enumerated() {
            let alone = try logits(tiny.model, [sequence])[0]
            #expect(try largestDifference(packed[index], alone) < 2e-4, "sequence \(index)")
            #expect(try largestDifference(reversed[sequences.count - 1 - index], alone) < 2e-4, "sequence \(index)")
            // Else the model would be too dull to tell.
            #expect(try alone.amax().item() - alone.amin().item() > 1)
        }
    }

    @Test func packedGradientsEqualTheSumOfUnpacked() throws {
        let tiny = try TinyQwen2VL(writable: true)
        let sequences = try tiny.mixedPrompts()
        let parameters = tiny.model.store.parameters
        for parameter in parameters { try parameter.tensor.setRequiresGradient(true) }
        func loss(_ sequence: ProcessedSequence, _ logits: Tensor) throws -> Tensor {
            let count = sequence.rows.count
            return try logits.slice(0, 0..<count - 1)
                .crossEntropy(Tensor(sequence.ids.dropFirst().map(Int.init)), reduction: .sum)
        }
        func gradients(_ runs: [[ProcessedSequence]]) throws -> [String: Tensor] {
            for parameter in parameters { try parameter.tensor.setGradient(nil) }
            for run in runs {
                for (sequence, logits) in zip(run, try logits(tiny.model, run)) {
                    try loss(sequence, logits).backward(retainGraph: true)
                }
            }
            return try Dictionary(
                uniqueKeysWithValues: parameters.map { ($0.name, try $0.tensor.gradient?.clone() ?? .zeros($0.shape)) })
        }
        let packed = try gradients([sequences]), unpacked = try gradients(sequences.map { [$0] })
        for (name, gradient) in packed {
            let other = try #require(unpacked[name])
            let scale = max(try other.norm().item(), 1e-2)
            #expect(try (gradient - other).norm().item() < 1e-4 * scale, "\(name)")
        }
        #expect(try packed.values.allSatisfy { try $0.norm().item() > 0 }, "a parameter that nothing reaches")
    }

    /// Whatever the neighbour says, not one bit changes.
    @Test func sequencesDoNotReachEachOther() throws {
        let tiny = try TinyQwen2VL()
        let sequences = try tiny.mixedPrompts()
        for changed in sequences.indices {
            var others = sequences
            for row in others[changed].rows.indices where others[changed].rows[row].item < 0 {
                others[changed].rows[row].id = (others[changed].rows[row].id + 7) % 400
            }
            for item in others[changed].items.indices {
                others[changed].items[item].pixels = try others[changed].items[item].pixels * -3
            }
            let before = try logits(tiny.model, sequences), after = try logits(tiny.model, others)
            for index in sequences.indices where index != changed {
                #expect(try before[index].isEqual(to: after[index]), "\(changed) reaches \(index)")
            }
            #expect(try !before[changed].isEqual(to: after[changed]))
        }
    }

    @Test func laterTokensDoNotReachEarlierOnes() throws {
        let tiny = try TinyQwen2VL()
        let sequence = try tiny.prompt("One two three four five.", pictures: [(32, 32)])
        var changed = sequence
        let last = sequence.rows.count - 4
        for row in last..<sequence.rows.count { changed.rows[row].id = 5 }
        let before = try logits(tiny.model, [sequence])[0], after = try logits(tiny.model, [changed])[0]
        #expect(try before.slice(0, 0..<last).isEqual(to: after.slice(0, 0..<last)))
        #expect(try !before.slice(0, last..<last + 1).isEqual(to: after.slice(0, last..<last + 1)))
    }

    @Test func shapesOnTheMetaDeviceAreTheLoadedOnes() throws {
        for name in ["qwen2vl_small", "qwen2vl_tied_sharded_small", "qwen2_text_small"] {
            let folder = try ModelFolder(TinyQwen2VL.url.deletingLastPathComponent().appending(path: name))
            let loaded = try folder.loadModel().store.parameters
            for origin in [ParameterStore.Origin.shapes, .random(seed: 3)] {
                let made = try folder.family.makeModel(ParameterStore(origin)).store.parameters
                #expect(made.map(\.name) == loaded.map(\.name))
                #expect(made.map(\.shape) == loaded.map(\.shape))
            }
        }
    }

    @Test func aFreshModelRuns() throws {
        let tiny = try TinyQwen2VL()
        let model = try tiny.folder.family.makeModel(ParameterStore(.random(seed: 11)))
        let found = try logits(model, tiny.mixedPrompts())
        #expect(try found.allSatisfy { try $0.isFinite().all() })
    }
}
