public import NN
public import Torch

/// Attention from the tokens of a sequence to columns beside it; no rotary positions, no biases.
public final class ColumnAttention {
    public struct Configuration: Sendable, Hashable {
        /// How a checkpoint holds keys and values.
        public enum KeyValue: Sendable, Hashable {
            case separate(key: String, value: String)
            /// One matrix, all keys before all values.
            case stacked(String)
        }

        public var hiddenSize: Int
        /// Width of the columns.
        public var columnSize: Int
        public var heads: Int
        public var keyValueHeads: Int
        public var headSize: Int
        public var query = "q_proj"
        public var keyValue = KeyValue.separate(key: "k_proj", value: "v_proj")
        public var output = "o_proj"
        /// Epsilon of RMS norms over the heads of queries and keys (`q_norm`, `k_norm`); nil for none.
        public var headNormEpsilon: Double?
        public var initializerRange = 0.02

        public init(hiddenSize: Int, columnSize: Int, heads: Int, keyValueHeads: Int, headSize: Int) {
            self.hiddenSize = hiddenSize
            self.columnSize = columnSize
            self.heads = heads
            self.keyValueHeads = keyValueHeads
            self.headSize = headSize
        }
    }

    private let configuration: Configuration
    /// Those that this process computes.
    private var heads: Int
    private var keyValueHeads: Int
    /// The ranks that divide the heads among themselves.
    private var group: ProcessGroup?
    private let query: Linear
    private let keyValue: [Linear]
    private let output: Linear
    private let queryNorm: RMSNorm?
    private let keyNorm: RMSNorm?

    public init(_ configuration: Configuration, _ scope: ParameterScope) throws {
        self.configuration = configuration
        heads = configuration.heads
        keyValueHeads = configuration.keyValueHeads
        let headSize = configuration.headSize
        func matrix(_ input: Int, _ output: Int, _ name: String) throws -> Linear {
            try Linear(
                input, output, bias: false, scope[name], initialization: .normal(configuration.initializerRange))
        }
        let keys = configuration.keyValueHeads * headSize
        query = try matrix(configuration.hiddenSize, configuration.heads * headSize, configuration.query)
        switch configuration.keyValue {
        case .separate(let key, let value):
            keyValue = [
                try matrix(configuration.columnSize, keys, key), try matrix(configuration.columnSize, keys, value),
            ]
        case .stacked(let name): keyValue = [try matrix(configuration.columnSize, 2 * keys, name)]
        }
        output = try matrix(configuration.heads * headSize, configuration.hiddenSize, configuration.output)
        queryNorm = try configuration.headNormEpsilon.map { try RMSNorm(headSize, epsilon: $0, scope["q_norm"]) }
        keyNorm = try configuration.headNormEpsilon.map { try RMSNorm(headSize, epsilon: $0, scope["k_norm"]) }
    }

    /// Why heads cannot be divided by so many; nil where they can.
    func obstacle(to parts: Int) -> String? {
        if queryNorm != nil { return "has norms of queries and keys, which are not divided" }
        return heads.isMultiple(of: parts) && keyValueHeads.isMultiple(of: parts)
            ? nil : "has \(heads) heads and \(keyValueHeads) key-value heads, not multiples of \(parts)"
    }

    /// Computes a part of the heads from now on and adds up over ranks, see `DivisibleBlock`; all of them where nil.
    func divide(_ division: TensorDivision?) {
        group = division?.group
        let parts = division?.group.size ?? 1
        heads = configuration.heads / parts
        keyValueHeads = configuration.keyValueHeads / parts
        guard let division else { return ([query, output] + keyValue).forEach { $0.unite() } }
        query.divideOutput(over: division)
        let keys = configuration.keyValueHeads * configuration.headSize
        for matrix in keyValue {
            matrix.divideOutput(stacks: keyValue.count == 1 ? [keys, keys] : nil, over: division)
        }
        output.divideInput(over: division)
    }

    /// Keys and values, each `[columns, key-value heads, head size]`, of `[columns, column size]`. They are the same for
    /// every token, so they are computed once.
    public func keysAndValues(_ columns: Tensor) throws -> (key: Tensor, value: Tensor) {
        let shape = [columns.size(0), keyValueHeads, configuration.headSize]
        let columns = try group?.entering(columns) ?? columns
        let parts =
            keyValue.count == 1
            ? try keyValue[0](columns).chunk(2, dimension: -1) : try keyValue.map { try $0(columns) }
        let key = try parts[0].reshape(shape)
        return (try keyNorm?(key) ?? key, try parts[1].reshape(shape))
    }

    /// `[tokens, hidden]` gives the same shape: exactly 0 for tokens that see no column.
    public func callAsFunction(_ x: Tensor, key: Tensor, value: Tensor, _ view: ColumnView) throws -> Tensor {
        let seeing = try view.seeing(x), headSize = configuration.headSize
        var q = try query(group?.entering(seeing) ?? seeing).view([seeing.size(0), heads, headSize])
        if let queryNorm { q = try queryNorm(q) }
        let attended = try Tensor.packedAttention(
            q, view.seen(key), view.seen(value), queries: view.queries, keys: view.keys, causal: false,
            scale: 1 / Double(headSize).squareRoot())
        return try view.spread(
            output(attended.reshape([seeing.size(0), heads * headSize]), summedOver: group))
    }
}
