public import Torch

/// Sequences packed one after another, without padding.
public struct ModelInput: Sendable {
    /// `[tokens]`, int64.
    public var ids: Tensor
    public var positions: [SIMD3<Int32>]
    public var segments: Segments
    public var items: [VisualItem]
    /// Rows of `ids` at which features of the items stand; `[visual tokens]`, int64.
    public var visualRows: Tensor?
    /// Which of the features of all items stand there; nil for all of them in order.
    public var visualFeatures: Tensor?
    /// What gated cross-attention sees of the items; nil where nothing of them goes there.
    public var memory: VisualMemory?
    /// The columns that each token sees of its own sequence's.
    public var visibleColumns: [Range<Int32>]
    /// For each sequence, the length by which its rotary frequencies are scaled.
    public var rotaryLengths: [Int]

    /// Packs whole sequences.
    public init(_ sequences: [ProcessedSequence]) throws {
        var ids: [Int] = []
        var positions: [SIMD3<Int32>] = []
        var placed = PlacedFeatures()
        var lengths: [Int] = []
        visibleColumns = []
        for sequence in sequences {
            // Items need not stand in the order of their numbers, so each item's rows are gathered by number.
            var rowsOfItem = [[Int]](repeating: [], count: sequence.items.count)
            for row in sequence.rows {
                if row.item >= 0 { rowsOfItem[Int(row.item)].append(ids.count) }
                ids.append(Int(row.id))
                positions.append(row.position)
                visibleColumns.append(row.columns)
            }
            for (index, rows) in rowsOfItem.enumerated() {
                guard rows.count == sequence.items[index].tokenCount else {
                    throw ProcessingError.tokenCount(
                        item: index, expected: sequence.items[index].tokenCount, found: rows.count)
                }
                placed.add(sequence.items[index], rows: rows)
            }
            placed.endSequence()
            lengths.append(sequence.rows.count)
        }
        self.ids = try Tensor(ids)
        self.positions = positions
        segments = Segments(lengths: lengths)
        items = sequences.flatMap(\.items)
        rotaryLengths = sequences.map(\.promptLength)
        visualRows = placed.rows.isEmpty ? nil : try Tensor(placed.rows)
        visualFeatures = placed.isWhole || placed.rows.isEmpty ? nil : try Tensor(placed.features)
        memory = try placed.memory()
    }

    /// A part of a single sequence that is read piece by piece into a cache. The first piece brings all columns.
    public func chunk(_ range: Range<Int>) throws -> ModelInput {
        precondition(segments.count == 1, "pieces are of one sequence")
        var chunk = self
        chunk.ids = try ids.slice(0, range)
        chunk.positions = Array(positions[range])
        chunk.segments = Segments(lengths: [range.count])
        chunk.visibleColumns = Array(visibleColumns[range])
        chunk.items = []
        chunk.visualRows = nil
        chunk.visualFeatures = nil
        if range.lowerBound > 0 { chunk.memory = nil }
        return chunk
    }

    /// Tokens of text that go on with sequences whose caches hold the rest: one row of ids per sequence. They see all
    /// columns that their sequences hold.
    public init(continuing rows: [[(id: Int32, position: Int32)]]) throws {
        ids = try Tensor(rows.flatMap { $0.map { Int($0.id) } })
        positions = rows.flatMap { $0.map { SIMD3(repeating: $0.position) } }
        segments = Segments(lengths: rows.map(\.count))
        items = []
        visualRows = nil
        visualFeatures = nil
        memory = nil
        visibleColumns = Array(repeating: 0..<Int32.max, count: positions.count)
        rotaryLengths = rows.map(\.count)
    }
}

/// The columns of gated cross-attention, sequence by sequence: features of tiles, and words of tags before them.
public struct VisualMemory: Sendable {
    /// Words of tags; `[words]`, int64, or nil.
    public var tagIDs: Tensor?
    /// For each column its place among the features of all items, followed by the embeddings of `tagIDs`; `[columns]`.
    public var order: Tensor
    /// The columns of each sequence.
    public var segments: Segments
}

/// Where the features of the items go: into the sequences or into the columns beside them.
private struct PlacedFeatures {
    private(set) var rows: [Int] = []
    private(set) var features: [Int] = []
    private(set) var isWhole = true
    private var total = 0
    /// Places of features, or minus one minus the place of a word.
    private var columns: [Int] = []
    private var tagIDs: [Int] = []
    private var lengths: [Int] = []
    private var start = 0

    mutating func add(_ item: VisualItem, rows: [Int]) {
        self.rows += rows
        let first = total + item.featureCount - item.tokenCount
        features += first..<first + item.tokenCount
        isWhole = isWhole && item.memoryTags.isEmpty
        for (tile, tag) in item.memoryTags.enumerated() {
            for id in tag {
                columns.append(-1 - tagIDs.count)
                tagIDs.append(Int(id))
            }
            let first = total + tile * item.featuresPerTile
            columns += first..<first + item.featuresPerTile
        }
        total += item.featureCount
    }

    mutating func endSequence() {
        lengths.append(columns.count - start)
        start = columns.count
    }

    func memory() throws -> VisualMemory? {
        if columns.isEmpty { return nil }
        return VisualMemory(
            tagIDs: tagIDs.isEmpty ? nil : try Tensor(tagIDs),
            order: try Tensor(columns.map { $0 >= 0 ? $0 : total - 1 - $0 }), segments: Segments(lengths: lengths))
    }
}
