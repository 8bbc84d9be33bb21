import CSentencePiece

/// A model of the SentencePiece library.
///
/// The library only reads a loaded model, so any number of threads may use one at once.
final class SentencePieceModel: @unchecked Sendable {
    private let handle: OpaquePointer
    let count: Int
    let bos: Int32?
    let eos: Int32?
    /// Whether decoding drops the space that encoding put in front.
    let dropsFirstSpace: Bool
    /// Whether decoding drops all spaces in front.
    let dropsFirstSpaces: Bool

    /// - Throws: `TokenizerError.malformed` with the library's reason.
    init(_ bytes: [UInt8], file: String) throws(TokenizerError) {
        let settings = try SentencePieceSettings(bytes, file: file)
        dropsFirstSpace = settings.addsDummyPrefix || settings.removesExtraSpaces
        dropsFirstSpaces = settings.removesExtraSpaces
        var reason = [CChar](repeating: 0, count: 512)
        guard let handle = csp_load(bytes, bytes.count, &reason, reason.count) else {
            let text = reason.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
            throw .malformed(file: file, reason: String(decoding: text, as: UTF8.self))
        }
        self.handle = handle
        count = Int(csp_piece_count(handle))
        bos = csp_beginning_id(handle) >= 0 ? csp_beginning_id(handle) : nil
        eos = csp_end_id(handle) >= 0 ? csp_end_id(handle) : nil
    }

    deinit { csp_free(handle) }

    enum Kind { case normal, unknown, control, byte, unused }

    /// The kind of a piece; `id` is in `0 ..< count`.
    func kind(_ id: Int) -> Kind {
        precondition((0..<count).contains(id))
        switch csp_kind(handle, Int32(id)) {
        case Int32(csp_unknown): return .unknown
        case Int32(csp_control): return .control
        case Int32(csp_byte): return .byte
        case Int32(csp_unused): return .unused
        default: return .normal
        }
    }

    /// The spelling of a piece; `id` is in `0 ..< count`.
    func piece(_ id: Int) -> [UInt8] {
        precondition((0..<count).contains(id))
        var length = 0
        guard let start = csp_piece(handle, Int32(id), &length) else { return [] }
        return UnsafeRawBufferPointer(start: start, count: length).map { $0 }
    }

    /// Encodes a text into ids, each with the byte at which it begins.
    func encode(_ bytes: [UInt8]) throws(TokenizerError) -> [(id: Int32, begin: Int)] {
        var result: [(id: Int32, begin: Int)] = []
        let status = withUnsafeMutablePointer(to: &result) { pointer in
            csp_encode(handle, bytes, bytes.count, pointer) { context, id, begin, _ in
                context?.assumingMemoryBound(to: [(id: Int32, begin: Int)].self).pointee.append((id, Int(begin)))
            }
        }
        if status != 0 { throw .unencodable(String(decoding: bytes.prefix(80), as: UTF8.self)) }
        return result
    }
}

/// What the library's interface does not tell: the normaliser's settings in the model file (sentencepiece_model.proto).
struct SentencePieceSettings {
    private(set) var addsDummyPrefix = true
    private(set) var removesExtraSpaces = true

    private struct Field {
        var number: UInt64
        var value: UInt64 = 0
        var body: ArraySlice<UInt8> = []
    }

    init(_ bytes: [UInt8], file: String) throws(TokenizerError) {
        // ModelProto.normalizer_spec
        for message in try Self.fields(bytes[...], file) where message.number == 3 {
            for field in try Self.fields(message.body, file) {
                if field.number == 3 { addsDummyPrefix = field.value != 0 }
                if field.number == 4 { removesExtraSpaces = field.value != 0 }
            }
        }
    }

    private static func fields(_ bytes: ArraySlice<UInt8>, _ file: String) throws(TokenizerError) -> [Field] {
        let malformed = TokenizerError.malformed(file: file, reason: "it is not a SentencePiece model")
        var rest = bytes
        var result: [Field] = []
        func variable() throws(TokenizerError) -> UInt64 {
            var value: UInt64 = 0
            for shift in stride(from: UInt64(0), to: 64, by: 7) {
                guard let byte = rest.popFirst() else { break }
                value |= UInt64(byte & 0x7F) << shift
                if byte < 0x80 { return value }
            }
            throw malformed
        }
        while !rest.isEmpty {
            let tag = try variable()
            var field = Field(number: tag >> 3)
            switch tag & 7 {
            case 0: field.value = try variable()
            case 1 where rest.count >= 8: rest.removeFirst(8)
            case 5 where rest.count >= 4: rest.removeFirst(4)
            case 2:
                let length = try variable()
                guard length <= UInt64(rest.count) else { throw malformed }
                field.body = rest.prefix(Int(length))
                rest.removeFirst(Int(length))
            default: throw malformed
            }
            result.append(field)
        }
        return result
    }
}
