import ModelTestSupport
import Models
import Testing
import Torch

/// Whatever is kept between calls, the results are those of one call.
@Suite(.serialized) struct CacheTests {
    /// Hidden states of a text sequence fed in pieces of these lengths.
    private func inPieces(
        _ lengths: [Int], _ sequence: ProcessedSequence, _ model: VisionLanguageModel, cache: KeyValueCache
    ) throws -> Tensor {
        var start = cache.length
        var parts: [Tensor] = []
        for length in lengths {
            let rows = sequence.rows[start..<start + length].map { (id: $0.id, position: $0.position.x) }
            parts.append(try model.hiddenStates(ModelInput(continuing: [rows]), ForwardContext(caches: [cache])))
            start += length
        }
        return try Tensor.cat(parts)
    }

    @Test func piecesEqualTheWhole() throws {
        let tiny = try TinyQwen2VL()
        let sequence = try tiny.prompt("Some text that is read in pieces, token by token or in chunks.")
        let count = sequence.rows.count
        let whole = try tiny.model.hiddenStates(ModelInput([sequence]))
        for lengths in [
            [Int](repeating: 1, count: count), [count], [count - 1, 1], [1, count - 1], [7, 5, 1, count - 13],
        ] {
            let cache = tiny.model.decoder.makeCache()
            let pieces = try inPieces(lengths, sequence, tiny.model, cache: cache)
            #expect(try largestDifference(pieces, whole) < 2e-4, "\(lengths)")
            #expect(cache.length == count)
        }
    }

    @Test func aPromptWithPicturesGoesOnFromItsCache() throws {
        let tiny = try TinyQwen2VL()
        var sequence = try tiny.prompt("Look.", pictures: [(60, 44)])
        let cache = tiny.model.decoder.makeCache()
        _ = try tiny.model.hiddenStates(ModelInput([sequence]), ForwardContext(caches: [cache]))
        let before = sequence.rows.count
        for id: Int32 in [12, 300, 7] {
            sequence.rows.append(TokenRow(id: id, position: SIMD3(repeating: sequence.nextPosition)))
            sequence.nextPosition += 1
        }
        let pieces = try inPieces([1, 2], sequence, tiny.model, cache: cache)
        let whole = try tiny.model.hiddenStates(ModelInput([sequence])).slice(0, before..<before + 3)
        #expect(try largestDifference(pieces, whole) < 2e-4)
    }

    @Test func aTruncatedCacheForgets() throws {
        let tiny = try TinyQwen2VL()
        let sequence = try tiny.prompt("First this, then that.")
        let other = try tiny.prompt("Nothing of the kind at all, said the other.")
        let cache = tiny.model.decoder.makeCache()
        let count = sequence.rows.count
        _ = try inPieces([other.rows.count], other, tiny.model, cache: cache)
        cache.truncate(to: 0)
        #expect(cache.length == 0)
        let again = try inPieces([count], sequence, tiny.model, cache: cache)
        cache.truncate(to: count - 3)
        let tail = try inPieces([3], sequence, tiny.model, cache: cache)
        let whole = try tiny.model.hiddenStates(ModelInput([sequence]))
        #expect(try largestDifference(again, whole) < 2e-4)
        #expect(try largestDifference(tail, whole.slice(0, count - 3..<count)) < 2e-4)
    }

    @Test func cachesOfABatchStayApart() throws {
        let tiny = try TinyQwen2VL()
        let sequences = try tiny.mixedPrompts()
        let caches = sequences.map { _ in tiny.model.decoder.makeCache() }
        let packed = try tiny.model.hiddenStates(ModelInput(sequences), ForwardContext(caches: caches))
        let plain = try tiny.model.hiddenStates(ModelInput(sequences))
        #expect(try largestDifference(packed, plain) < 2e-4)
        #expect(caches.map(\.length) == sequences.map(\.rows.count))
        #expect(caches.allSatisfy { $0.byteCount > 0 })
    }

    @Test func aFullCacheIsAnError() throws {
        let tiny = try TinyQwen2VL()
        let sequence = try tiny.prompt("More than fits.")
        let cache = tiny.model.decoder.makeCache(limit: 5)
        #expect(throws: ProcessingError.contextLength(tokens: sequence.rows.count, limit: 5)) {
            try inPieces([sequence.rows.count], sequence, tiny.model, cache: cache)
        }
    }

    @Test func idsOutsideTheVocabularyAreErrors() throws {
        let tiny = try TinyQwen2VL()
        for id: Int32 in [-1, 414, .max, .min] {
            var sequence = try tiny.prompt("Hi")
            sequence.rows[3].id = id
            #expect(throws: ProcessingError.tokenOutOfRange(id: Int(id), index: 3, vocabulary: 414)) {
                try tiny.model.hiddenStates(ModelInput([sequence]))
            }
        }
    }
}
