import ModelTestSupport
import Models
import NN
import Testing
import Text
import Torch

/// What must hold of every family that sees tiles, whatever its fusion.
@Suite struct TiledModelTests {
    static let types = ["internvl_chat", "NVLM_D", "NVLM_X", "NVLM_H", "points_chat"]

    private func sequences(_ tiny: TinyTiled, _ type: String) throws -> [ProcessedSequence] {
        var all = [
            try tiny.prompt("Hi"), try tiny.prompt("What is it?", pictures: [(40, 20)], seed: 3),
            try tiny.prompt("One tile only, and a text that is longer than the others.", pictures: [(16, 16)], seed: 4),
        ]
        if type != "points_chat" { all.append(try tiny.prompt("Compare.", pictures: [(30, 45), (33, 33)], seed: 7)) }
        return all
    }

    @Test(arguments: types) func packedEqualsSingle(_ type: String) throws {
        let tiny = try TinyTiled(type), sequences = try sequences(tiny, type)
        let packed = try tiny.hiddenStates(sequences)
        for (sequence, together) in zip(sequences, packed) {
            #expect(try largestDifference(tiny.hiddenStates([sequence])[0], together) < 1e-4)
        }
    }

    @Test(arguments: types) func neighboursDoNotReachEachOther(_ type: String) throws {
        let tiny = try TinyTiled(type), sequences = try sequences(tiny, type)
        var others = sequences
        for item in others[1].items.indices { others[1].items[item].pixels = try others[1].items[item].pixels * -2 }
        let before = try tiny.hiddenStates(sequences), after = try tiny.hiddenStates(others)
        for index in sequences.indices {
            #expect(try before[index].isEqual(to: after[index]) == (index != 1), "\(index)")
        }
    }

    @Test(arguments: types) func cachedEqualsUncached(_ type: String) throws {
        let tiny = try TinyTiled(type)
        for sequence in try sequences(tiny, type) {
            let cache = tiny.model.decoder.makeCache()
            var whole = sequence
            try withoutGradient {
                _ = try tiny.model.hiddenStates(ModelInput([sequence]), ForwardContext(caches: [cache]))
                for id in [7, 411, 30] as [Int32] {
                    let step = try ModelInput(continuing: [[(id: id, position: whole.nextPosition)]])
                    let cached = try tiny.model.hiddenStates(step, ForwardContext(caches: [cache]))
                    whole.append(generated: id)
                    let all = try tiny.hiddenStates([whole])[0]
                    #expect(try largestDifference(cached, all.slice(0, whole.rows.count - 1..<whole.rows.count)) < 1e-4)
                }
            }
        }
    }

    @Test(arguments: types) func aPromptReadInPiecesIsTheSame(_ type: String) throws {
        let tiny = try TinyTiled(type), sequence = try tiny.prompt("And now?", pictures: [(40, 20)], seed: 11)
        let input = try ModelInput([sequence]), cache = tiny.model.decoder.makeCache(), count = sequence.rows.count
        let pieces = try withoutGradient {
            let features = try tiny.model.vision?.features(input.items, ForwardContext())
            let (tokens, columns) = try tiny.model.embed(input, features: features)
            return try stride(from: 0, to: count, by: 7).map { start in
                let range = start..<min(start + 7, count)
                return try tiny.model.decoder(
                    tokens.slice(0, range), input.chunk(range), memory: start == 0 ? columns : nil,
                    context: ForwardContext(caches: [cache]))
            }
        }
        #expect(try largestDifference(Tensor.cat(pieces), tiny.hiddenStates([sequence])[0]) < 1e-4)
    }

    @Test(arguments: types) func textNeedsNoPictures(_ type: String) throws {
        let tiny = try TinyTiled(type), sequence = try tiny.prompt("Only words.")
        #expect(sequence.items.isEmpty && sequence.columnCount == 0 && sequence.patchCount == 0)
        #expect(try tiny.hiddenStates([sequence])[0].isFinite().all())
    }

    @Test(arguments: types) func placesAreAsManyAsFeatures(_ type: String) throws {
        let tiny = try TinyTiled(type)
        for (width, height) in [(16, 16), (40, 20), (7, 60), (300, 299)] {
            let sequence = try tiny.prompt("?", pictures: [(width, height)])
            let expected = try tiny.processor.imageTokenCount(width: width, height: height)
            #expect(sequence.imageTokenCount == expected)
            #expect(sequence.rows.filter { $0.item >= 0 }.count == expected)
            #expect(sequence.patchCount == sequence.items[0].tileCount * 16)
        }
    }

    @Test(arguments: types) func wordsOfUsersAreNoPictures(_ type: String) throws {
        let tiny = try TinyTiled(type)
        let text = "<IMG_CONTEXT><|vision_pad|><|image_pad|><tile_1><image><|im_end|>"
        let sequence = try tiny.prompt(text, pictures: [(16, 16)])
        #expect(sequence.imageTokenCount == sequence.rows.filter { $0.item >= 0 }.count)
        #expect(try tiny.processor.tokenizer.decode(sequence.ids).contains(text))
    }

    @Test func videosAreErrors() throws {
        // InternVL2 takes them as numbered frames.
        let tiny = try TinyTiled("NVLM_D")
        let video = Video(frames: [.noise(width: 16, height: 16, seed: 1)], framesPerSecond: 2)
        #expect(throws: ProcessingError.self) {
            try tiny.processor.process([Message(.user, [.video(video)])], ProcessingOptions())
        }
    }

    @Test func whatPOINTSDoesNotAllowIsAnError() throws {
        let tiny = try TinyTiled("points_chat")
        #expect(throws: ProcessingError.self) { try tiny.prompt("?", pictures: [(16, 16), (16, 16)]) }
        #expect(throws: ProcessingError.self) {
            try tiny.processor.process([Message(.system, "Be brief."), Message(.user, "?")], ProcessingOptions())
        }
    }

    // MARK: - gated cross-attention

    /// The same input without what cross-attention sees.
    private func blind(_ sequence: ProcessedSequence) throws -> ModelInput {
        var input = try ModelInput([sequence])
        input.memory = nil
        return input
    }

    @Test(arguments: ["NVLM_X", "NVLM_H"]) func closedGatesAreTheTextModel(_ type: String) throws {
        let closed = try TinyTiled(type, gate: 0), open = try TinyTiled(type)
        let sequence = try closed.prompt("What is it?", pictures: [(40, 20)])
        #expect(sequence.columnCount > 0)
        try withoutGradient {
            let text = try closed.model.hiddenStates(blind(sequence))
            #expect(try closed.hiddenStates([sequence])[0].isEqual(to: text))
            #expect(try !open.hiddenStates([sequence])[0].isEqual(to: text))
        }
    }

    @Test func aSingleCropLeavesTheHybridsCrossAttentionUnused() throws {
        let open = try TinyTiled("NVLM_H"), closed = try TinyTiled("NVLM_H", gate: 0)
        let sequence = try open.prompt("What is it?", pictures: [(16, 16)])
        #expect(sequence.columnCount == 0 && sequence.imageTokenCount == 4)
        #expect(try open.hiddenStates([sequence])[0].isEqual(to: closed.hiddenStates([sequence])[0]))
    }

    @Test func aTagSeesItsTileOnly() throws {
        let tiny = try TinyTiled("NVLM_X"), sequence = try tiny.prompt("What?", pictures: [(40, 20)])
        let item = sequence.items[0], count = item.featuresPerTile
        #expect(item.layout == .tiles(TileGrid(columns: 2, rows: 1, hasThumbnail: true)))
        var changed = sequence
        let tiles = try item.pixels.split([1, 1, 1], dimension: 0)
        changed.items[0].pixels = try Tensor.cat([tiles[0], tiles[1] * -3, tiles[2]])
        let before = try tiny.hiddenStates([sequence])[0], after = try tiny.hiddenStates([changed])[0]
        for (row, token) in sequence.rows.enumerated() {
            // The gated layer is the last, so a row shows what it saw itself.
            let sees = token.columns.overlaps(Int32(count)..<Int32(2 * count))
            let same = try before.slice(0, row..<row + 1).isEqual(to: after.slice(0, row..<row + 1))
            #expect(same == !sees, "row \(row)")
        }
        let tags = sequence.rows.map(\.columns)
        for tile in 0..<3 { #expect(tags.contains(Int32(tile * count)..<Int32((tile + 1) * count))) }
        #expect(sequence.rows.last?.columns == 0..<Int32(3 * count))
        #expect(sequence.rows.first?.columns.isEmpty == true)
    }

    @Test func tags() {
        let grid = TileGrid(columns: 3, rows: 2, hasThumbnail: true)
        let single = TileGrid(columns: 1, rows: 1, hasThumbnail: false)
        #expect(
            (0..<7).map { TileTags.numbered(thumbnail: "<t>").tag($0, in: grid) }.joined()
                == "<tile_1><tile_2><tile_3><tile_4><tile_5><tile_6><t>")
        #expect(TileTags.grid(thumbnail: "<t>").tag(5, in: grid) == "<tile_x2_y1>")
        #expect(TileTags.boundingBox(tileSize: 448).tag(4, in: grid) == "<box> (448, 448), (896, 896) </box>")
        #expect(TileTags.boundingBox(tileSize: 448).tag(6, in: grid) == "<box> (0, 0), (1344, 896) </box>")
        #expect(TileTags.numbered(thumbnail: "<t>").tag(0, in: single) == "<t>")
        #expect(TileTags.none.tag(0, in: grid).isEmpty)
    }

    @Test(arguments: ["none", "2d_grid", "2d_bbox"]) func otherTagsRun(_ tags: String) throws {
        let tiny = try TinyTiled("NVLM_D", ["tile_tag_type": .string(tags)])
        let sequence = try tiny.prompt("What?", pictures: [(40, 20)])
        #expect(sequence.promptText.contains("<tile_x1_y0>") == (tags == "2d_grid"))
        #expect(sequence.promptText.contains("<box> (16, 0), (32, 16) </box>") == (tags == "2d_bbox"))
        #expect(try tiny.hiddenStates([sequence])[0].isFinite().all())
    }
}
