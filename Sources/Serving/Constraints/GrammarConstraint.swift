internal import Synchronization
public import Text

/// All tokens of a vocabulary by their bytes.
public final class TokenBytes: Sendable {
    /// A place in the tree of all tokens' bytes.
    struct Node: Sendable {
        var children: [(byte: UInt8, node: Int32)] = []
        /// Tokens that end here.
        var tokens: [Int32] = []
    }

    let nodes: [Node]
    private let bytes: [[UInt8]?]

    /// Nil where the tokenizer's tokens have no bytes of their own.
    public init?(_ tokenizer: Tokenizer) {
        let bytes = (0..<Int32(tokenizer.vocabularySize)).map { tokenizer.bytes(of: $0) }
        // Without every ASCII byte a constraint could come to a place where no token goes on.
        let single = Set(bytes.compactMap { $0?.count == 1 ? $0?.first : nil })
        guard (0x20..<0x7F).allSatisfy(single.contains) else { return nil }
        var nodes = [Node()]
        for (id, token) in bytes.enumerated() {
            guard let token, !token.isEmpty else { continue }
            var place = 0
            for byte in token {
                if let child = nodes[place].children.first(where: { $0.byte == byte }) {
                    place = Int(child.node)
                } else {
                    nodes[place].children.append((byte, Int32(nodes.count)))
                    place = nodes.count
                    nodes.append(Node())
                }
            }
            nodes[place].tokens.append(Int32(id))
        }
        self.nodes = nodes
        self.bytes = bytes
    }

    func bytes(of token: Int32) -> [UInt8]? { bytes.indices.contains(Int(token)) ? bytes[Int(token)] : nil }
}

/// Lets an answer be nothing but JSON of a schema.
public struct GrammarConstraint: TokenConstraint {
    private let masks: Masks
    private var state: GrammarState

    private init(_ grammar: Grammar, _ tokens: TokenBytes) {
        masks = Masks(grammar, tokens)
        state = GrammarState(grammar)
    }

    /// JSON that fulfils a schema.
    public init(schema: OrderedJSON, _ tokens: TokenBytes) throws(SchemaError) {
        self.init(try JSONSchemaCompiler.grammar([("", schema, "")]), tokens)
    }

    /// Any JSON object.
    public init(anyObject tokens: TokenBytes) { self.init(JSONSchemaCompiler.anyObject(), tokens) }

    /// One of several texts, each with JSON of a schema in the middle.
    public init(
        oneOf variants: [(prefix: String, schema: OrderedJSON, suffix: String)], _ tokens: TokenBytes
    ) throws(SchemaError) { self.init(try JSONSchemaCompiler.grammar(variants), tokens) }

    public func apply(to scores: inout [Float], stopTokens: Set<Int32>) {
        var allowed = masks.allowed(state)
        if state.isComplete { allowed += stopTokens }
        var masked = [Float](repeating: -.infinity, count: scores.count)
        for id in allowed where scores.indices.contains(Int(id)) { masked[Int(id)] = scores[Int(id)] }
        scores = masked
    }

    public mutating func advance(_ token: Int32) {
        guard let bytes = masks.tokens.bytes(of: token) else { return }
        for byte in bytes { state = state.advanced(byte, masks.grammar) }
    }

    public var isFinished: Bool { state.isFinished }

    /// The tokens that may follow, by state; most states come again and again.
    private final class Masks: Sendable {
        private static let maximumStates = 64
        let grammar: Grammar
        let tokens: TokenBytes
        private let known = Mutex<[GrammarState: [Int32]]>([:])

        init(_ grammar: Grammar, _ tokens: TokenBytes) {
            self.grammar = grammar
            self.tokens = tokens
        }

        func allowed(_ state: GrammarState) -> [Int32] {
            if let found = known.withLock({ $0[state] }) { return found }
            var found: [Int32] = []
            var open: [(node: Int, state: GrammarState)] = [(0, state)]
            while let (place, state) = open.popLast() {
                found += tokens.nodes[place].tokens
                for child in tokens.nodes[place].children {
                    let next = state.advanced(child.byte, grammar)
                    if !next.isDead { open.append((Int(child.node), next)) }
                }
            }
            known.withLock {
                if $0.count >= Self.maximumStates { $0.removeAll() }
                $0[state] = found
            }
            return found
        }
    }
}
