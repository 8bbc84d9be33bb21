import Text

/// How a picture stands in the prompt.
public struct PicturePlacement: Sendable, Hashable {
    /// Before and behind a picture.
    public var before: String
    public var after: String
    /// The special token in whose places features stand.
    public var placeholder: String
    /// What stands before a picture with its number, from 1 on: `Picture` gives `Picture 1:`. Nil writes no numbers.
    public var numberLabel: String?
    /// Whether a picture's name may stand as bytes where features stand in for them (Qwen-VL).
    public var holdsNames = false
    public var tags = TileTags.none
    public var fusion = FusionScheme.sequence
    /// Whether a newline follows a picture unless the text behind it begins with one.
    public var addsNewline = false
    /// Whether a message may hold several pictures, and a conversation pictures in several messages.
    public var allowsSeveral = true
    /// What stands before each frame of a video with its number, from 1 on: `Frame` gives `Frame1: `; frames are pictures of
    /// one tile, a line each (InternVL2). Nil takes no videos.
    public var frameLabel: String?
    /// Whether all pictures stand before the texts of their message, wherever they were.
    public var comesFirst = false

    public init(before: String = "", after: String = "", placeholder: String) {
        self.before = before
        self.after = after
        self.placeholder = placeholder
    }
}

/// A part of a prompt before it is tokenised.
enum PromptPiece: Sendable {
    case text(TaggedText)
    /// Places of features of an item.
    case features(item: Int, count: Int)
    /// A tag that is tokenised by itself and sees these columns only.
    case tag(String, item: Int, columns: Range<Int32>)
}

extension PicturePlacement {
    /// Ids of each tag that stands among the columns, for an item that has tiles.
    func memoryTags(_ item: VisualItem, _ tokenizer: Tokenizer) throws -> [[Int32]] {
        switch fusion {
        case .sequence: return []
        case .crossAttention: return Array(repeating: [], count: try item.tileGrid().count)
        case .hybrid:
            let grid = try item.tileGrid()
            return try (0..<grid.count - 1).map { try tokenizer.encode(tags.tag($0, in: grid)) }
        }
    }

    /// What stands in the prompt for an item.
    ///
    /// - Parameter firstColumn: the first of its columns.
    func pieces(_ item: VisualItem, number: Int, firstColumn: Int) throws -> [PromptPiece] {
        let label = numberLabel.map { "\($0) \(number + 1):" } ?? ""
        var pieces: [PromptPiece] = [.text(TaggedText(label + before, .template))]
        switch fusion {
        case .sequence where tags == .none, .hybrid:
            pieces.append(.features(item: number, count: item.tokenCount))
        case .sequence:
            let grid = try item.tileGrid()
            for tile in 0..<grid.count {
                pieces.append(.text(TaggedText(tags.tag(tile, in: grid), .template)))
                pieces.append(.features(item: number, count: item.featuresPerTile))
            }
        case .crossAttention:
            let grid = try item.tileGrid()
            for tile in 0..<grid.count {
                let first = Int32(clamping: firstColumn + tile * item.featuresPerTile)
                let end = Int32(clamping: firstColumn + (tile + 1) * item.featuresPerTile)
                pieces.append(.tag(tags.tag(tile, in: grid), item: number, columns: first..<end))
            }
        }
        return pieces + [.text(TaggedText(after, .template))]
    }
}
