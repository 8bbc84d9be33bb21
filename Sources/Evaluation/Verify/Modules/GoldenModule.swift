import Goldens
import Models
import NN
import Torch

/// A part of a model that goldens show by itself: built from its own configuration and weights.
protocol GoldenModule: SendableMetatype {
    /// Whether a configuration is this part's; its fields decide, because such parts have no `model_type`.
    static func matches(_ reader: ConfigurationReader) -> Bool
    init(_ reader: ConfigurationReader, _ store: ParameterStore) throws
    /// What the part makes of a case, by the goldens' whole names (`case.out`). What a case does not ask for may be
    /// there.
    func run(_ golden: GoldenCase) throws -> [String: Tensor]
}

/// One case of a module's goldens: its inputs and what is said about it.
struct GoldenCase {
    let name: String
    let json: GoldenJSON
    /// By the name behind `<case>.in.`; those of floats record gradients.
    let inputs: [String: Tensor]

    init(_ name: String, _ goldens: GoldenFolder) throws {
        self.name = name
        json = goldens.json["cases"][name]
        var inputs: [String: Tensor] = [:]
        let prefix = "\(name).in."
        for key in goldens.tensors.keys where key.hasPrefix(prefix) {
            let golden = try goldens.tensor(key)
            let bytes = try goldens.bytes(of: key)
            guard let dtype = DType(golden.dtype) else {
                throw GoldenError(file: goldens.path, tensor: key, fault: "a type that no input has")
            }
            let tensor = try Tensor.copying(bytes, shape: golden.shape, dtype: dtype)
            if dtype.isFloatingPoint { try tensor.setRequiresGradient(true) }
            inputs[String(key.dropFirst(prefix.count))] = tensor
        }
        self.inputs = inputs
    }

    /// An input that the module cannot do without.
    func input(_ name: String = "x") throws -> Tensor {
        guard let tensor = inputs[name] else {
            throw GoldenError(file: self.name, tensor: "\(self.name).in.\(name)", fault: "no such input")
        }
        return tensor
    }

    /// A number that the case gives.
    func integer(_ field: String) throws -> Int {
        guard let value = json[field].int else {
            throw GoldenError(file: name, fault: "the case has no whole number '\(field)'")
        }
        return value
    }
}
