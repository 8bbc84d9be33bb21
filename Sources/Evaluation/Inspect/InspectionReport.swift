import Media
import Models

/// An inspection in numbers, for scripts.
public struct InspectionReport: Encodable, Sendable {
    public struct View: Encodable, Sendable {
        /// `whole`, `thumbnail`, or `tile`.
        public var place: String
        public var column: Int?
        public var row: Int?
        public var width: Int
        public var height: Int
        public var tag: String?
        /// First place and the one behind the last, in the sequence.
        public var tokens: [Int]?
        /// The same among the columns of cross-attention.
        public var columns: [Int]?
    }

    public struct Picture: Encodable, Sendable {
        public var name: String
        public var width: Int
        public var height: Int
        public var shape: [Int]
        public var patchSize: Int
        public var patchesPerToken: Int?
        public var tokens: Int
        public var columns: Int
        public var views: [View]

        enum CodingKeys: String, CodingKey {
            case name, width, height, shape, tokens, columns, views
            case patchSize = "patch_size"
            case patchesPerToken = "patches_per_token"
        }
    }

    public struct Piece: Encodable, Sendable {
        /// `text`, `special` or `picture`.
        public var kind: String
        public var text: String
        public var tokens: Int
        public var picture: Int?
        /// The columns that these tokens see; nothing where there are none.
        public var sees: [Int]?
    }

    public var model: String
    public var tokens: Int
    public var imageTokens: Int
    public var columns: Int
    public var context: Int
    public var mean: [Double]?
    public var deviation: [Double]?
    public var pictures: [Picture]
    public var prompt: [Piece]
    public var warnings: [String]

    enum CodingKeys: String, CodingKey {
        case model, tokens, columns, context, mean, deviation, pictures, prompt, warnings
        case imageTokens = "image_tokens"
    }

    public init(_ inspection: Inspection) {
        model = inspection.model
        tokens = inspection.tokens
        imageTokens = inspection.pictures.reduce(0) { $0 + $1.tokens }
        columns = inspection.columns
        context = inspection.contextLength
        mean = inspection.normalization?.mean
        deviation = inspection.normalization?.deviation
        warnings = inspection.warnings
        pictures = inspection.pictures.map { picture in
            Picture(
                name: picture.name, width: picture.original.width, height: picture.original.height,
                shape: picture.shape, patchSize: picture.patchSize, patchesPerToken: picture.patchesPerToken,
                tokens: picture.tokens, columns: picture.columns, views: picture.views.map(Self.view))
        }
        prompt = inspection.prompt.map { piece in
            var kind = "text", picture: Int?
            switch piece.kind {
            case .text: break
            case .special: kind = "special"
            case .features(let index): (kind, picture) = ("picture", index)
            }
            return Piece(
                kind: kind, text: piece.text, tokens: piece.count, picture: picture,
                sees: piece.columns.isEmpty ? nil : [piece.columns.lowerBound, piece.columns.upperBound])
        }
    }

    private static func view(_ view: Inspection.View) -> View {
        var place = "whole", column: Int?, row: Int?
        switch view.place {
        case .whole: break
        case .thumbnail: place = "thumbnail"
        case .tile(let x, let y): (place, column, row) = ("tile", x, y)
        }
        return View(
            place: place, column: column, row: row, width: view.image.width, height: view.image.height,
            tag: view.tag.isEmpty ? nil : view.tag, tokens: view.tokens.map { [$0.lowerBound, $0.upperBound] },
            columns: view.columns.map { [$0.lowerBound, $0.upperBound] })
    }
}
