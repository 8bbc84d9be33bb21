internal import Foundation
public import Safetensors
public import Torch

extension DType {
    /// The engine's type for a stored one; nil for types that the engine is not asked to hold.
    public init?(_ stored: StoredDType) {
        switch stored {
        case .bool: self = .bool
        case .u8: self = .uint8
        case .i8: self = .int8
        case .i16: self = .int16
        case .i32: self = .int32
        case .i64: self = .int64
        case .f16: self = .float16
        case .bf16: self = .bfloat16
        case .f32: self = .float32
        case .f64: self = .float64
        default: return nil
        }
    }

    /// The type under which safetensors files store this one.
    public var stored: StoredDType {
        switch self {
        case .bool: .bool
        case .uint8: .u8
        case .int8: .i8
        case .int16: .i16
        case .int32: .i32
        case .int64: .i64
        case .float16: .f16
        case .bfloat16: .bf16
        case .float32: .f32
        case .float64: .f64
        }
    }
}

extension SafetensorsFile {
    /// A tensor over the mapped file: nothing is read until it is used. Must not be written to.
    public func tensor(_ name: String) throws -> Tensor {
        let entry = try entry(name)
        guard let dtype = DType(entry.dtype) else {
            throw TorchError(
                kind: .notImplemented, operation: "load \(name)",
                message:
                    "\(path) stores it as \(entry.dtype.rawValue), which the engine does not hold; convert it first")
        }
        let bytes = try bytes(of: name)
        return entry.isAligned
            ? try Tensor.using(bytes, shape: entry.shape, dtype: dtype, owner: mapping)
            : try Tensor.copying(bytes, shape: entry.shape, dtype: dtype)
    }
}

/// The tensors of a checkpoint folder as a model asks for them.
extension SafetensorsCheckpoint: WeightSource {
    public func shape(of name: String) -> [Int]? { tensors[name]?.entry.shape }

    public func tensor(named name: String) throws -> Tensor { try location(name).file.tensor(name) }

    public func location(of name: String) -> String { tensors[name]?.file.path ?? directory }
}

/// A checkpoint under other names: newer libraries rename what released files hold.
public struct RenamedWeights: WeightSource {
    private let source: any WeightSource
    private let originals: [String: String]

    /// - Parameter rename: the name that the model uses, for a name in the file.
    public init(_ source: any WeightSource, _ rename: (String) -> String) {
        self.source = source
        originals = Dictionary(source.names.map { (rename($0), $0) }, uniquingKeysWith: { first, _ in first })
    }

    public var names: [String] { Array(originals.keys) }
    public func shape(of name: String) -> [Int]? { originals[name].flatMap(source.shape(of:)) }
    public func tensor(named name: String) throws -> Tensor { try source.tensor(named: originals[name] ?? name) }
    public func location(of name: String) -> String { source.location(of: originals[name] ?? name) }
}

extension Safetensors.TensorSource {
    /// A tensor to be written as it is.
    public init(name: String, tensor: Tensor) {
        self.init(name: name, dtype: tensor.dtype.stored, shape: tensor.shape) { sink in
            try tensor.bytes().withUnsafeBytes(sink)
        }
    }
}

extension ParameterStore {
    /// What to write for a checkpoint of these parameters, converted to `dtype` if one is named, under their own names
    /// or others.
    ///
    /// - Parameter values: what to write in the place of parameters' tensors, by name.
    public func tensorSources(
        dtype: DType? = nil, replacing values: [String: Tensor] = [:], naming: (String) -> String = { $0 }
    ) -> [Safetensors.TensorSource] {
        parameters.map { parameter in
            let tensor = values[parameter.name] ?? parameter.tensor
            let target = dtype ?? tensor.dtype
            return Safetensors.TensorSource(name: naming(parameter.name), dtype: target.stored, shape: tensor.shape) {
                sink in
                try tensor.to(target).bytes().withUnsafeBytes(sink)
            }
        }
    }
}
