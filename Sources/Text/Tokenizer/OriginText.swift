/// Text on its way through the normaliser and the pre-tokenizer; each byte knows where in the given text it came from.
struct OriginText {
    /// Well-formed UTF-8.
    var bytes: [UInt8]
    /// The byte of the given text for each byte; `nil` where they are the same, or nobody asks.
    var origins: [Int32]?

    @inline(__always)
    func origin(_ index: Int) -> Int32 {
        guard let origins else { return Int32(truncatingIfNeeded: index) }
        return index < origins.count ? origins[index] : origins.last ?? 0
    }

    func slice(_ range: Range<Int>, tracked: Bool) -> OriginText {
        OriginText(
            bytes: Array(bytes[range]),
            origins: tracked ? range.map { origin($0) } : nil)
    }

    /// An empty text to which changed pieces of this one are added.
    func emptied() -> OriginText { OriginText(bytes: [], origins: origins == nil ? nil : []) }

    /// Adds bytes that all came from one byte of the given text.
    mutating func append(_ new: some Collection<UInt8>, origin: Int32) {
        bytes.append(contentsOf: new)
        if origins != nil { origins?.append(contentsOf: repeatElement(origin, count: new.count)) }
    }

    /// Adds a piece of another text as it is.
    mutating func append(_ other: OriginText, _ range: Range<Int>) {
        bytes.append(contentsOf: other.bytes[range])
        if origins != nil { for index in range { origins?.append(other.origin(index)) } }
    }
}

/// Which run of a tagged text each byte belongs to.
struct SourceMap {
    private let runs: [TaggedText.Source]
    private var runOfByte: [Int32] = []

    init(_ text: TaggedText) {
        runs = text.runs.map(\.source)
        for (index, run) in text.runs.enumerated() {
            runOfByte.append(contentsOf: repeatElement(Int32(index), count: run.text.utf8.count))
        }
    }

    func source(_ byte: Int32) -> TaggedText.Source {
        runOfByte.indices.contains(Int(byte)) ? runs[Int(runOfByte[Int(byte)])] : .template
    }

    func isTemplate(_ byte: Int32) -> Bool { source(byte).mayHoldSpecialTokens }
}

/// The ids that a text gives, and the byte of the text at which each begins if anyone asks.
struct TokenSink {
    let tracked: Bool
    private(set) var ids: [Int32] = []
    private(set) var origins: [Int32] = []

    init(tracked: Bool) { self.tracked = tracked }

    @inline(__always)
    mutating func append(_ id: Int32, origin: Int32) {
        ids.append(id)
        if tracked { origins.append(origin) }
    }

    @inline(__always)
    mutating func append(_ new: ArraySlice<Int32>) { ids.append(contentsOf: new) }
}
