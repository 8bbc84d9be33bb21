public import Torch

/// One token of a sequence with all that belongs to it, so that the sides can never be cut differently.
public struct TokenRow: Sendable, Hashable {
    public var id: Int32
    /// Temporal, vertical and horizontal position; equal for text.
    public var position: SIMD3<Int32>
    /// Whether the loss counts the prediction of this token.
    public var isSupervised: Bool
    /// Index of the visual item whose feature stands here instead of the embedding of `id`; -1 for text.
    public var item: Int32

    public init(id: Int32, position: SIMD3<Int32>, isSupervised: Bool = false, item: Int32 = -1) {
        self.id = id
        self.position = position
        self.isSupervised = isSupervised
        self.item = item
    }
}

/// Rows and columns of patches, and steps of time: `(t, h, w)` of the published processors.
public struct PatchGrid: Sendable, Hashable {
    public var time: Int
    public var height: Int
    public var width: Int

    public init(time: Int, height: Int, width: Int) {
        self.time = time
        self.height = height
        self.width = width
    }

    public var count: Int { time * height * width }
}

/// A picture or a video as a vision tower takes it.
public struct VisualItem: Sendable {
    public enum Kind: Sendable, Hashable { case image, video }

    public var kind: Kind
    public var grid: PatchGrid
    /// `[patches, channels × temporal × patch × patch]`, float32, in the order that the tower expects.
    public var patches: Tensor
    /// Size of the picture before any resizing, in pixels.
    public var originalWidth: Int
    public var originalHeight: Int
    /// Tokens that it takes in the sequence.
    public var tokenCount: Int

    public init(
        kind: Kind, grid: PatchGrid, patches: Tensor, originalWidth: Int, originalHeight: Int, tokenCount: Int
    ) {
        self.kind = kind
        self.grid = grid
        self.patches = patches
        self.originalWidth = originalWidth
        self.originalHeight = originalHeight
        self.tokenCount = tokenCount
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

    public init(rows: [TokenRow], items: [VisualItem], nextPosition: Int32, promptText: String) {
        self.rows = rows
        self.items = items
        self.nextPosition = nextPosition
        self.promptText = promptText
    }

    public var ids: [Int32] { rows.map(\.id) }
    public var supervisedCount: Int { rows.reduce(0) { $0 + ($1.isSupervised ? 1 : 0) } }
    public var imageTokenCount: Int { items.reduce(0) { $0 + $1.tokenCount } }
}

/// Sequences packed one after another, without padding, on the model's device.
public struct ModelInput: Sendable {
    /// `[tokens]`, int64.
    public var ids: Tensor
    public var positions: [SIMD3<Int32>]
    public var segments: Segments
    public var items: [VisualItem]
    /// Rows of `ids` at which the features of the items stand, in the order of the items; `[visual tokens]`, int64.
    public var visualRows: Tensor?

    /// Packs whole sequences.
    public init(_ sequences: [ProcessedSequence]) throws {
        var ids: [Int] = []
        var positions: [SIMD3<Int32>] = []
        var visual: [Int] = []
        var lengths: [Int] = []
        var items: [VisualItem] = []
        for sequence in sequences {
            // Items need not stand in the order of their numbers, so each item's rows are gathered by number.
            var rowsOfItem = [[Int]](repeating: [], count: sequence.items.count)
            for row in sequence.rows {
                if row.item >= 0 { rowsOfItem[Int(row.item)].append(ids.count) }
                ids.append(Int(row.id))
                positions.append(row.position)
            }
            for (index, rows) in rowsOfItem.enumerated() {
                guard rows.count == sequence.items[index].tokenCount else {
                    throw ProcessingError.tokenCount(
                        item: index, expected: sequence.items[index].tokenCount, found: rows.count)
                }
                visual += rows
            }
            items += sequence.items
            lengths.append(sequence.rows.count)
        }
        self.ids = try Tensor(ids)
        self.positions = positions
        segments = Segments(lengths: lengths)
        self.items = items
        visualRows = visual.isEmpty ? nil : try Tensor(visual)
    }

    /// Tokens of text that go on with sequences whose caches hold the rest: one row of ids per sequence.
    public init(continuing rows: [[(id: Int32, position: Int32)]]) throws {
        ids = try Tensor(rows.flatMap { $0.map { Int($0.id) } })
        positions = rows.flatMap { $0.map { SIMD3(repeating: $0.position) } }
        segments = Segments(lengths: rows.map(\.count))
        items = []
        visualRows = nil
    }
}
