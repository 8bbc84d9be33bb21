import Foundation
import Models
import NN
import Safetensors
import Torch

extension ModelVerifier {
    /// Writes the weights and reads them again: the keys are the released ones, the weights the same bit for bit, and so are the hidden states but for rounding.
    mutating func verifySaved(_ sequences: [String: ProcessedSequence]) throws {
        let copy = FileManager.default.temporaryDirectory.appending(
            path: "omma-verify-\(UUID().uuidString).safetensors")
        defer { try? FileManager.default.removeItem(at: copy) }
        try SafetensorsWriter.write(path: copy.path, tensors: model.store.tensorSources())
        let released = try SafetensorsCheckpoint(directory: folder.url.path)
        let saved = try SafetensorsFile(path: copy.path)
        let renamed = Dictionary(
            released.names.map { (folder.family.canonicalName($0), released.shape(of: $0)) },
            uniquingKeysWith: { first, _ in first })
        let strange = Set(renamed.keys).symmetricDifference(saved.entries.keys).sorted()
        report.add("saved.keys", holds: strange.isEmpty, "differ from the released ones in \(strange.prefix(5))")
        let misshapen = saved.entries.filter { $0.value.shape != renamed[$0.key] ?? nil }.keys.sorted()
        report.add("saved.shapes", holds: misshapen.isEmpty, "differ from the released ones in \(misshapen.prefix(5))")
        let again = try folder.family.makeModel(
            ParameterStore(.checkpoint(SingleFileWeights(file: saved), .fail), device: model.store.device))
        let kept = Dictionary(uniqueKeysWithValues: again.store.parameters.map { ($0.name, $0.tensor) })
        let changed = try model.store.parameters.filter { try kept[$0.name]?.isEqual(to: $0.tensor) != true }.map(
            \.name)
        report.add("saved.weights", holds: changed.isEmpty, "changed: \(changed.prefix(5))")
        for (name, sequence) in sequences.sorted(by: { $0.key < $1.key }) {
            let same = try withoutGradient {
                let input = try ModelInput([sequence])
                // The weights are compared to the bit above. Sums are not always: beside other work in the process they
                // have been seen to differ in their last bits.
                let (before, after) = (try model.hiddenStates(input), try again.hiddenStates(input))
                let difference = try (before - after).abs().to(.float32).amax().item()
                return try difference <= 1e-4 * max(1, before.abs().to(.float32).amax().item())
            }
            report.add("\(name).after saving", holds: same, "the saved model gives other hidden states")
        }
    }
}
