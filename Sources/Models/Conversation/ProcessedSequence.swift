/// One token of a sequence with all that belongs to it, so that the sides can never be cut differently.
public struct TokenRow: Sendable, Hashable {
    public var id: Int32
    /// Temporal, vertical and horizontal position; equal for text.
    public var position: SIMD3<Int32>
    /// Whether the loss counts the prediction of this token.
    public var isSupervised: Bool
    /// Index of the visual item whose feature stands here instead of the embedding of `id`; -1 for text.
    public var item: Int32
    /// Columns of the sequence's pictures that gated cross-attention lets this token see.
    public var columns: Range<Int32>

    public init(
        id: Int32, position: SIMD3<Int32>, isSupervised: Bool = false, item: Int32 = -1, columns: Range<Int32> = 0..<0
    ) {
        self.id = id
        self.position = position
        self.isSupervised = isSupervised
        self.item = item
        self.columns = columns
    }
}

/// A conversation as the model takes it: the same for training and for answering.
public struct ProcessedSequence: Sendable {
    public var rows: [TokenRow]
    public var items: [VisualItem]
    /// The position of the next token of text.
    public var nextPosition: Int32
    /// The whole prompt as text, with one mark per picture.
    public var promptText: String
    /// Tokens before those that were generated.
    private var given: Int?

    public init(rows: [TokenRow], items: [VisualItem], nextPosition: Int32, promptText: String) {
        self.rows = rows
        self.items = items
        self.nextPosition = nextPosition
        self.promptText = promptText
    }

    public var ids: [Int32] { rows.map(\.id) }
    public var supervisedCount: Int { rows.reduce(0) { $0 + ($1.isSupervised ? 1 : 0) } }
    public var imageTokenCount: Int { items.reduce(0) { $0 + $1.tokenCount } }
    /// Columns of gated cross-attention.
    public var columnCount: Int { items.reduce(0) { $0 + $1.columnCount } }
    /// Patches that the vision tower works on.
    public var patchCount: Int { items.reduce(0) { $0 + $1.patchCount } }
    /// Tokens before those that were generated. Rotary frequencies that grow with the length are those of the prompt to
    /// the end of the answer, so that cached keys stay right.
    public var promptLength: Int { given ?? rows.count }

    /// Adds a generated token of text, which sees all pictures.
    public mutating func append(generated id: Int32) {
        given = promptLength
        rows.append(
            TokenRow(id: id, position: SIMD3(repeating: nextPosition), columns: 0..<Int32(clamping: columnCount)))
        nextPosition += 1
    }
}
