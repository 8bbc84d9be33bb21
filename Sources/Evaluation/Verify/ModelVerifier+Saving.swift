import Foundation
import Models
import NN
import Safetensors
import Torch

extension ModelVerifier {
    /// Writes the weights and reads them again: the keys are the released ones, and the scores the same bit for bit.
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
        let again = try folder.family.makeModel(ParameterStore(.checkpoint(SingleFileWeights(file: saved), .fail)))
        for (name, sequence) in sequences.sorted(by: { $0.key < $1.key }) {
            let same = try withoutGradient {
                let input = try ModelInput([sequence])
                // Sums depend on the number of threads in their last bits, and another part of the process may change
                // that number between two passes: pairs of passes are compared until one is equal. Weights that differ
                // make all of them differ.
                return try (0..<3).contains { _ in
                    try model.hiddenStates(input).isEqual(to: again.hiddenStates(input))
                }
            }
            report.add("\(name).after saving", holds: same, "the saved model gives other hidden states")
        }
    }
}
