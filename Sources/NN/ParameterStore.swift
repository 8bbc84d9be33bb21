public import Torch

/// Something that holds tensors under names: a checkpoint, a part of one, or a renamed one.
public protocol WeightSource {
    /// All names it holds.
    var names: [String] { get }
    /// The shape under a name, nil where there is none.
    func shape(of name: String) -> [Int]?
    /// The tensor as stored, on the CPU, without a copy where that is possible.
    func tensor(named name: String) throws -> Tensor
    /// Where a reader would look for it, for error messages.
    func location(of name: String) -> String
}

/// The parameters of a model under the names of its checkpoint.
///
/// Building a model asks the store for each parameter by name and shape. What the store answers depends on its origin
/// alone, so that building for random initialisation, for loading, and for reading shapes on the meta device is the same
/// code. Nothing is left to chance: `finish()` reports every missing, unexpected and misshapen key at once.
public final class ParameterStore {
    public enum Origin {
        /// Freshly initialised. Each parameter's numbers depend on the seed and its name only.
        case random(seed: UInt64)
        /// Shapes without memory.
        case shapes
        /// From a checkpoint.
        case checkpoint(any WeightSource, WhenMissing)
    }

    /// What to do about parameters that the checkpoint lacks.
    public enum WhenMissing: Sendable {
        case fail
        /// Start them from the seed; their names are in `initialized`.
        case initialize(seed: UInt64)
    }

    public let origin: Origin
    public let dtype: DType
    public let device: Device
    /// Whether parameters may be written: training copies what inference uses in place.
    public let isWritable: Bool
    /// Which matrices are held in 4 bits.
    private let quantizes: (String) -> Bool
    /// What is brought to the device only where it is needed.
    private let staysOnCPU: (String) -> Bool

    /// All parameters in the order in which the model asked for them.
    public private(set) var parameters: [Parameter] = []
    /// The parameters of each block: of each layer of a tower or decoder.
    public private(set) var blocks: [[Parameter]] = []
    /// Parts of the model that ranks can divide among themselves.
    public private(set) var divisible: [any DivisibleBlock] = []
    /// Names that were initialised because the checkpoint lacks them.
    public private(set) var initialized: [String] = []
    private var byName: [String: Parameter] = [:]
    private var problems = WeightProblems()

    public init(
        _ origin: Origin, dtype: DType = .float32, device: Device = .cpu, writable: Bool = false,
        quantizing quantizes: @escaping (String) -> Bool = { _ in false },
        keepingOnCPU staysOnCPU: @escaping (String) -> Bool = { _ in false }
    ) {
        self.staysOnCPU = staysOnCPU
        self.origin = origin
        self.dtype = dtype
        self.device = device
        isWritable = writable
        self.quantizes = quantizes
    }

    public subscript(name: String) -> Parameter? { byName[name] }

    /// The scope of all names.
    public var root: ParameterScope { ParameterScope(store: self, prefix: "") }

    /// Whether the checkpoint holds `name`; always true where there is none to ask.
    public func holds(_ name: String) -> Bool {
        guard case .checkpoint(let source, _) = origin else { return true }
        return source.shape(of: name) != nil
    }

    /// The parameter under `name`. A problem with it is noted and thrown by `finish()`, together with all others.
    func parameter(
        _ name: String, _ shape: [Int], _ initialization: Initialization, isConstant: Bool = false
    ) throws -> Parameter {
        precondition(byName[name] == nil, "parameter \(name) is asked for twice")
        let parameter = Parameter(
            name: name, tensor: try makeTensor(name, shape, initialization), isConstant: isConstant)
        if parameter.tensor.device != .meta, quantizes(name) { try parameter.quantize() }
        parameters.append(parameter)
        byName[name] = parameter
        return parameter
    }

    func addBlock(_ parameters: [Parameter]) { blocks.append(parameters) }

    /// Notes a part of the model that ranks can divide among themselves.
    public func addDivisible(_ block: any DivisibleBlock) { divisible.append(block) }

    /// Leaves of a pass that stand for what other ranks do.
    public var anchors: [Tensor] { divisible.flatMap(\.anchors) }

    private func makeTensor(_ name: String, _ shape: [Int], _ initialization: Initialization) throws -> Tensor {
        switch origin {
        case .shapes:
            return try Tensor.empty(shape, dtype: dtype, device: .meta)
        case .random(let seed):
            return try initialize(name, shape, initialization, seed)
        case .checkpoint(let source, let whenMissing):
            guard let stored = source.shape(of: name) else {
                if case .initialize(let seed) = whenMissing {
                    initialized.append(name)
                    return try initialize(name, shape, initialization, seed)
                }
                problems.missing.append(name)
                return try Tensor.empty(shape, dtype: dtype, device: .meta)
            }
            guard stored == shape else {
                problems.misshapen.append(
                    "\(name) is \(stored) in \(source.location(of: name)), the configuration asks for \(shape)")
                return try Tensor.empty(shape, dtype: dtype, device: .meta)
            }
            let loaded = try source.tensor(named: name)
            guard loaded.dtype.isFloatingPoint else {
                problems.misshapen.append("\(name) holds \(loaded.dtype) in \(source.location(of: name)), not floats")
                return try Tensor.empty(shape, dtype: dtype, device: .meta)
            }
            let converted = try loaded.to(dtype).to(place(name))
            return isWritable && converted === loaded ? try converted.clone() : converted
        }
    }

    private func initialize(
        _ name: String, _ shape: [Int], _ initialization: Initialization, _ seed: UInt64
    ) throws -> Tensor {
        // Drawn in float32 on the CPU, so that a seed means the same numbers in every type and on every device.
        let tensor = try Tensor.empty(shape)
        let generator = try RandomGenerator(seed: seed ^ stableHash(name))
        switch initialization {
        case .zeros: try tensor.fill(0)
        case .ones: try tensor.fill(1)
        case .constant(let value): try tensor.fill(value)
        case .normal(let deviation): try generator.normal(tensor, standardDeviation: deviation)
        case .uniform(let bound): try generator.uniform(tensor, -bound..<bound)
        case .sineCosineGrid(let side):
            let rows = (0..<side * side).flatMap { place in
                sineCosine(column: Float(place % side), row: Float(place / side), size: tensor.size(-1))
            }
            try tensor.copy(from: Tensor(rows, shape: shape))
        }
        return try tensor.to(dtype).to(place(name))
    }

    private func place(_ name: String) -> Device { staysOnCPU(name) ? .cpu : device }

    /// Throws `WeightError` if the checkpoint lacked a parameter, holds one that the model does not have, or holds one
    /// in another shape. Names for which `isIgnored` is true may be there without use.
    public func finish(ignoring isIgnored: (String) -> Bool = { _ in false }) throws {
        guard case .checkpoint(let source, _) = origin else { return }
        var found = problems
        found.unexpected = source.names.filter { byName[$0] == nil && !isIgnored($0) }.sorted()
        if found.isEmpty { return }
        throw WeightError(problems: found, place: source.names.first.map(source.location(of:)) ?? "the checkpoint")
    }
}

/// A hash that is the same in every run and on every machine (FNV-1a).
public func stableHash(_ text: String) -> UInt64 {
    text.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
}

/// A prefix of parameter names: `store.root["visual"]["blocks"][3]`.
public struct ParameterScope {
    public let store: ParameterStore
    /// Ends in a dot unless it is empty.
    public let prefix: String

    init(store: ParameterStore, prefix: String) {
        self.store = store
        self.prefix = prefix
    }

    public subscript(name: String) -> ParameterScope { ParameterScope(store: store, prefix: prefix + name + ".") }
    public subscript(index: Int) -> ParameterScope { self[String(index)] }

    /// The parameter `prefix + name`.
    public func parameter(_ name: String, _ shape: [Int], _ initialization: Initialization) throws -> Parameter {
        try store.parameter(prefix + name, shape, initialization)
    }

    /// All parameters asked for so far whose names start with this prefix, noted as one block of the model.
    public func block() -> [Parameter] {
        let parameters = parameters
        store.addBlock(parameters)
        return parameters
    }

    /// A tensor that checkpoints hold and nothing learns.
    public func constant(_ name: String, _ shape: [Int], _ initialization: Initialization) throws -> Parameter {
        try store.parameter(prefix + name, shape, initialization, isConstant: true)
    }
}

/// What is wrong with the keys of a checkpoint.
public struct WeightProblems: Sendable, Hashable {
    public var missing: [String] = []
    public var unexpected: [String] = []
    /// Sentences about keys of the wrong shape or type.
    public var misshapen: [String] = []

    var isEmpty: Bool { missing.isEmpty && unexpected.isEmpty && misshapen.isEmpty }
}

/// A checkpoint does not fit the model that its configuration describes.
public struct WeightError: Error, Sendable, CustomStringConvertible {
    public let problems: WeightProblems
    /// A file or folder of the checkpoint.
    public let place: String

    public var description: String {
        var lines = ["the weights in \(place) do not fit the configuration; is config.json of the same model?"]
        func list(_ title: String, _ items: [String]) {
            if !items.isEmpty { lines.append("  \(title) (\(items.count)): " + items.joined(separator: "\n    ")) }
        }
        list("missing", problems.missing)
        list("unexpected", problems.unexpected)
        list("wrong shape or type", problems.misshapen)
        return lines.joined(separator: "\n")
    }
}
