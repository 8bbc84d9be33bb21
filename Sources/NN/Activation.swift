public import Torch

/// The activation functions of this family of models, by the names that configurations use.
public enum Activation: String, Sendable, CaseIterable {
    /// By the error function.
    case gelu
    case geluTanh = "gelu_pytorch_tanh"
    /// `x · sigmoid(1.702 x)`, as OpenAI's CLIP has it.
    case quickGelu = "quick_gelu"
    case silu
    case relu

    /// Reads the name of a configuration, with the field's synonyms; nil for an unknown one.
    public init?(name: String) {
        switch name {
        case "gelu_new", "gelu_tanh": self = .geluTanh
        case "swish": self = .silu
        default: self.init(rawValue: name)
        }
    }

    public func callAsFunction(_ x: Tensor) throws -> Tensor {
        switch self {
        case .gelu: try x.gelu()
        case .geluTanh: try x.gelu(tanh: true)
        case .quickGelu: try x.quickGelu()
        case .silu: try x.silu()
        case .relu: try x.relu()
        }
    }
}
