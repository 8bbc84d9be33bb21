/// A token of a tagged text.
public struct TaggedToken: Sendable, Hashable {
    public var id: Int32
    /// Where the first byte of the token came from.
    public var source: TaggedText.Source

    public init(id: Int32, source: TaggedText.Source) {
        self.id = id
        self.source = source
    }
}

/// Turns text into token ids and back, exactly as the reference implementation of the model's tokenizer does.
public final class Tokenizer: Sendable {
    /// One more than the highest id.
    public let vocabularySize: Int
    /// Special tokens by the part they play.
    public let specialTokens: SpecialTokens
    /// The chat template of the tokenizer's folder, in Jinja.
    public let chatTemplate: String?

    let backend: any TokenizerBackend
    private let stages: [DecoderSpecification]
    private let imagePaths: ImagePathRule?

    init(
        backend: any TokenizerBackend, configuration: TokenizerConfiguration, imagePaths: ImagePathRule? = nil
    ) {
        self.backend = backend
        self.imagePaths = imagePaths
        stages = backend.decoderStages + (configuration.cleansUpSpaces ? [.cleanUp] : [])
        vocabularySize = backend.inventory.tokens.count
        specialTokens = SpecialTokens(configuration, backend.inventory)
        chatTemplate = configuration.chatTemplate
    }

    /// The ids of a text in which the text of a special token is that token, as in Hugging Face's `encode`.
    ///
    /// Text from outside should go through `encode(_: TaggedText)` instead.
    ///
    /// - Parameter addSpecialTokens: put around the text what the tokenizer's files ask for, such as a beginning token.
    /// - Throws: `TokenizerError.unencodable` if the vocabulary cannot spell the text.
    public func encode(_ text: String, addSpecialTokens: Bool = false) throws(TokenizerError) -> [Int32] {
        var sink = TokenSink(tracked: false)
        try backend.encode(Array(text.utf8), sources: nil, addSpecialTokens: addSpecialTokens, into: &sink)
        return try imagePaths?.apply(sink, backend.inventory).ids ?? sink.ids
    }

    /// The ids of a text of which only the template's own words may hold special tokens.
    ///
    /// The text is cut into words as a whole, so the ids are those of the plain text unless data spell a special token.
    ///
    /// - Throws: `TokenizerError.unencodable` if the vocabulary cannot spell the text.
    public func encode(_ text: TaggedText, addSpecialTokens: Bool = false) throws(TokenizerError) -> [TaggedToken] {
        var sink = TokenSink(tracked: true)
        let sources = SourceMap(text)
        try backend.encode(
            Array(text.string.utf8), sources: sources, addSpecialTokens: addSpecialTokens, into: &sink)
        if let imagePaths { sink = try imagePaths.apply(sink, backend.inventory) }
        return zip(sink.ids, sink.origins).map { TaggedToken(id: $0, source: sources.source($1)) }
    }

    /// The text of ids. Bytes that are not UTF-8 become U+FFFD.
    ///
    /// - Throws: `TokenizerError.unknownID` for an id that no token has.
    public func decode(_ ids: some Sequence<Int32>, skipSpecialTokens: Bool = false) throws(TokenizerError) -> String {
        var run = decoderRun(skipSpecialTokens: skipSpecialTokens)
        var bytes: [UInt8] = []
        for id in ids { try run.push(id, into: &bytes) }
        try run.finish(into: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    func decoderRun(skipSpecialTokens: Bool) -> DecoderRun {
        DecoderRun(backend.inventory, stages, skipSpecialTokens: skipSpecialTokens, imagePaths: imagePaths)
    }

    /// The token of an id as the tokenizer's files spell it; `nil` if there is none.
    public func token(for id: Int32) -> String? {
        backend.inventory.token(id).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The id of a token as the tokenizer's files spell it; `nil` if there is none.
    public func id(for token: String) -> Int32? { backend.inventory.id(Array(token.utf8)) }

    /// Whether an id is one of a special token.
    public func isSpecial(_ id: Int32) -> Bool {
        let special = backend.inventory.isSpecial
        return special.indices.contains(Int(id)) && special[Int(id)]
    }
}

/// Decodes ids one after the other.
struct DecoderRun: Sendable {
    private let inventory: TokenInventory
    private let skipsSpecial: Bool
    private var stages: [DecoderStage]
    private var index = 0
    private let imagePaths: ImagePathRule?
    private var isInImage = false

    init(
        _ inventory: TokenInventory, _ stages: [DecoderSpecification], skipSpecialTokens: Bool,
        imagePaths: ImagePathRule?
    ) {
        self.imagePaths = imagePaths
        self.inventory = inventory
        self.stages = stages.map { DecoderStage($0, skipsSpecial: skipSpecialTokens) }
        skipsSpecial = skipSpecialTokens
    }

    /// Adds the text that is now certain. Every call adds whole characters.
    mutating func push(_ id: Int32, into bytes: inout [UInt8]) throws(TokenizerError) {
        guard let token = inventory.token(id) else {
            throw .unknownID(id, index: index, vocabularySize: inventory.tokens.count)
        }
        index += 1
        if let imagePaths {
            if isInImage, id < 256 {
                try run([DecodedPiece(bytes: ByteAlphabet.encoded[Int(id)], continues: false)], from: 0, into: &bytes)
                return
            }
            if id == imagePaths.begin { isInImage = true }
            if id == imagePaths.end { isInImage = false }
            if isInImage, id == imagePaths.pad { return }
        }
        if skipsSpecial, inventory.isSpecial[Int(id)] { return }
        try run([DecodedPiece(bytes: token, continues: false)], from: 0, into: &bytes)
    }

    mutating func finish(into bytes: inout [UInt8]) throws(TokenizerError) {
        for stage in stages.indices {
            var output: [DecodedPiece] = []
            try stages[stage].finish(&output)
            try run(output, from: stage + 1, into: &bytes)
        }
    }

    private mutating func run(
        _ pieces: [DecodedPiece], from first: Int, into bytes: inout [UInt8]
    ) throws(TokenizerError) {
        var pieces = pieces
        for stage in stages.indices.dropFirst(first) {
            var output: [DecodedPiece] = []
            for piece in pieces { try stages[stage].push(piece, &output) }
            pieces = output
        }
        for piece in pieces { bytes += piece.bytes }
    }
}
