import Foundation
import NN
import Safetensors
import Torch

/// What the headers of the weights say, under the names that the model uses.
struct StoredWeights {
    private(set) var entries: [String: TensorEntry] = [:]
    private(set) var files = 0
    /// The first float type, in which the model would run.
    private(set) var main: DType
    /// All types.
    private(set) var types: String

    /// No weights, and the type that they would have.
    init(main: DType) {
        self.main = main
        types = main.description
    }

    /// - Parameter fallback: the type where there are no weights.
    init(_ url: URL, _ family: any DescribedModel, default fallback: DType, _ problems: inout [String]) {
        main = fallback
        types = "none"
        do {
            let checkpoint = try SafetensorsCheckpoint(directory: url.path)
            files = checkpoint.files.count
            var found: [String] = []
            for name in checkpoint.names {
                guard let entry = checkpoint.tensors[name]?.entry else { continue }
                entries[family.canonicalName(name)] = entry
                let type = DType(entry.dtype)
                if found.isEmpty, let type, type.isFloatingPoint { main = type }
                let text = type?.description ?? entry.dtype.rawValue
                if !found.contains(text) { found.append(text) }
            }
            types = found.joined(separator: ", ")
        } catch {
            problems.append("\(error)")
        }
    }

    /// The type that a configuration names.
    static func type(_ reader: ConfigurationReader) -> DType {
        guard case .string(let name)? = reader.value("torch_dtype") ?? reader.value("dtype"),
            let type = DType(name: name), type.isFloatingPoint
        else { return .float32 }
        return type
    }
}
