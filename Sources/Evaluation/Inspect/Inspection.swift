public import Media
public import Models
import Torch

/// What a model sees of a conversation, read back from the very tensors and rows that its processor made.
public struct Inspection: Sendable {
    /// A picture of the tower: the whole, a tile, or the thumbnail.
    public struct View: Sendable {
        public enum Place: Sendable, Hashable {
            case whole
            case tile(column: Int, row: Int)
            case thumbnail
        }

        public var place: Place
        /// The tensor as a picture, by the mean and deviation that the published tower was trained with.
        public var image: Image
        /// What tells the decoder which tile this is; empty where nothing does.
        public var tag: String
        /// Places in the sequence that hold its features.
        public var tokens: Range<Int>?
        /// Columns of gated cross-attention that hold its features, with the tag before them.
        public var columns: Range<Int>?
    }

    public struct Picture: Sendable {
        public var name: String
        public var original: Image
        public var layout: VisualLayout
        public var views: [View]
        public var patchSize: Int
        /// Patches a side that become one token; nil where tokens are of no places.
        public var patchesPerToken: Int?
        /// Shape of the tensor.
        public var shape: [Int]
        public var tokens: Int
        public var columns: Int
    }

    public var model: String
    public var pictures: [Picture]
    public var prompt: [PromptPiece]
    public var tokens: Int
    public var columns: Int
    public var contextLength: Int
    public var normalization: PixelNormalization?
    /// What is not as it was published, in words.
    public var warnings: [String] = []

    /// Processes a prompt with pictures before its text.
    ///
    /// - Throws: `ProcessingError`, and what the tokenizer throws.
    public init(
        _ folder: ModelFolder, processor: any ConversationProcessor, pictures: [(name: String, image: Image)],
        prompt text: String, model: String
    ) throws {
        let parts = pictures.map { Part.image($0.image) } + (text.isEmpty ? [] : [Part.text(text)])
        let sequence = try processor.process([Message(.user, parts)], ProcessingOptions())
        self.model = model
        tokens = sequence.rows.count
        columns = sequence.columnCount
        contextLength = folder.family.contextLength
        normalization = processor.visionPolicy?.normalization
        self.pictures = []
        prompt = []
        guard let policy = processor.visionPolicy else { return }
        let published = folder.family.publishedNormalization ?? policy.normalization
        var firstColumn = 0
        for (index, item) in sequence.items.enumerated() {
            let rows = sequence.rows.indices.filter { sequence.rows[$0].item == Int32(index) }
            var picture = try Self.picture(
                item, named: pictures[index].name, pictures[index].image, policy, published: published, rows: rows,
                firstColumn: firstColumn)
            if let placement = (processor as? PromptProcessor)?.placement, case .tiles(let grid) = item.layout {
                // A hybrid's thumbnail stands in the sequence without a tag.
                for tile in picture.views.indices where placement.fusion != .hybrid || tile < item.memoryTags.count {
                    picture.views[tile].tag = placement.tags.tag(tile, in: grid)
                }
            }
            firstColumn += item.columnCount
            self.pictures.append(picture)
            warnings += try Self.warnings(item, picture, published)
        }
        if policy.normalization != published {
            warnings.insert(
                "preprocessor_config.json has mean \(policy.normalization.mean) and deviation "
                    + "\(policy.normalization.deviation), the published tower \(published.mean) and "
                    + "\(published.deviation); colours are as that tower sees them", at: 0)
        }
        prompt = try PromptPiece.pieces(of: sequence, tokenizer: processor.tokenizer)
    }

    private static func picture(
        _ item: VisualItem, named name: String, _ original: Image, _ policy: any ImagePolicy,
        published: PixelNormalization, rows: [Int], firstColumn: Int
    ) throws -> Picture {
        let tensor = try policy.pictures(item), features = item.featuresPerTile
        let beside = item.memoryTags.count
        var column = firstColumn
        var views: [View] = []
        for index in 0..<tensor.size(0) {
            var view = View(
                place: .whole, image: try published.picture(tensor.select(0, index)), tag: "", tokens: nil,
                columns: nil)
            if case .tiles(let grid) = item.layout, grid.count > 1 {
                view.place =
                    index == grid.columns * grid.rows
                    ? .thumbnail : .tile(column: index % grid.columns, row: index / grid.columns)
            }
            if index < beside {
                let width = item.memoryTags[index].count + features
                view.columns = column..<column + width
                column += width
            } else {
                let first = (index - beside) * features
                if first + features <= rows.count, features > 0 {
                    view.tokens = rows[first]..<rows[first + features - 1] + 1
                }
            }
            views.append(view)
        }
        return Picture(
            name: name, original: original, layout: item.layout, views: views, patchSize: policy.patchSize,
            patchesPerToken: policy.patchesPerFeature, shape: item.pixels.shape, tokens: item.tokenCount,
            columns: item.columnCount)
    }

    /// Numbers that no byte becomes under the published mean and deviation: the tower never saw such.
    private static func warnings(_ item: VisualItem, _ picture: Picture, _ published: PixelNormalization) throws
        -> [String]
    {
        let low = (0..<3).map { -published.mean[$0] / published.deviation[$0] }.min() ?? 0
        let high = (0..<3).map { (1 - published.mean[$0]) / published.deviation[$0] }.max() ?? 0
        let least = try item.pixels.amin().item(), most = try item.pixels.amax().item()
        guard least < low - 0.01 || most > high + 0.01 else { return [] }
        func short(_ value: Double) -> Double { (value * 100).rounded() / 100 }
        return [
            "\(picture.name): values go from \(short(least)) to \(short(most)), beyond what the published mean and "
                + "deviation give"
        ]
    }
}
