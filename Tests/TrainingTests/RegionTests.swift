import Data
import Foundation
import Media
import Models
import NN
import TestSupport
import Testing
import Text
import Torch

@testable import Training

@Suite("Regions as lessons")
struct RegionTests {
    /// Samples with the targets of their features.
    private func targets(_ tiny: TinyModel, _ options: SyntheticOptions, _ count: Int) throws
        -> [(sample: SyntheticSample, sequence: ProcessedSequence, targets: RegionTargets)]
    {
        let generator = try SyntheticGenerator(options)
        return try (0..<count).map { index in
            let sample = try generator.sample(at: index)
            let sequence = try tiny.description.processor.process(sample.conversation, .training)
            return (
                sample, sequence,
                try #require(
                    RegionTargets(
                        sequence, pictures: [sample.regions], answers: sample.turns.map(\.places),
                        tokenizer: tiny.description.processor.tokenizer))
            )
        }
    }

    @Test("Every object is told by at least one feature, with its colour, its shape and its edges")
    func objects() throws {
        let tiny = try TinyModel()
        let options = SyntheticOptions(seed: 4, weights: [.describe: 1], sides: 140...240, difficulty: 0)
        for (sample, sequence, targets) in try targets(tiny, options, 20) {
            let grid = try sequence.items[0].patchGrid()
            let (columns, rows) = (grid.width / 2, grid.height / 2)
            #expect(targets.count == columns * rows)
            var told: Set<String> = []
            for cell in targets.foreground {
                let color = SyntheticObject.colors[targets.colors[cell] - 1]
                let shape = SyntheticObject.shapes[targets.kinds[cell] - 1]
                let middle = (Double(cell % columns) + 0.5, Double(cell / columns) + 0.5)
                let left = (middle.0 + Double(targets.edges[cell * 4])) / Double(columns) * Double(sample.image.width)
                let bottom =
                    (middle.1 + Double(targets.edges[cell * 4 + 3])) / Double(rows) * Double(sample.image.height)
                let object = sample.metadata.objects.first {
                    $0.color == color && $0.shape == shape && abs($0.box.x - left) < 0.1
                        && abs($0.box.maxY - bottom) < 0.1
                }
                let found = try #require(object, "\(color) \(shape) at \(left)")
                told.insert("\(found.box)")
                // In sixths of a cell.
                #expect(
                    targets.places[cell * 4] == Int(found.box.x / Double(sample.image.width) * Double(columns) * 6))
            }
            #expect(told.count == sample.metadata.objects.count)
            #expect(targets.background.allSatisfy { targets.kinds[$0] == 0 })
        }
    }

    @Test("The features along a line spell it")
    func writing() throws {
        let tiny = try TinyModel()
        let options = SyntheticOptions(seed: 4, weights: [.text: 1], sides: 140...280, difficulty: 0)
        var spelled = 0
        for (sample, _, targets) in try targets(tiny, options, 60) {
            let codes = targets.characters.filter { $0 > 0 }
            let written = sample.metadata.objects.map { $0.label.filter { $0 != " " } }
            // Two lines may share a row of features, and narrow letters may be more than a feature tells.
            guard written.count == 1, codes.count == written[0].count else { continue }
            let text = String(String.UnicodeScalarView(codes.compactMap { UnicodeScalar($0 + 32) }))
            #expect(text == written[0])
            spelled += 1
        }
        #expect(spelled > 8)
    }

    @Test("Answers look at what they are about")
    func looks() throws {
        let tiny = try TinyModel()
        let options = SyntheticOptions(
            seed: 4, turns: .single, weights: [.color: 1, .relation: 1], sides: 140...240, chineseShare: 0,
            difficulty: 0)
        var seen = (colors: 0, pairs: 0)
        for (sample, sequence, targets) in try targets(tiny, options, 40) {
            let turn = sample.turns[0]
            for look in targets.looks {
                #expect(sequence.rows[look.row + 1].isSupervised)
                #expect(look.features.allSatisfy { $0.allSatisfy(targets.foreground.contains) })
            }
            if turn.task == .color {
                seen.colors += targets.looks.isEmpty ? 0 : 1
                let color = SyntheticObject.colors.firstIndex(of: turn.answer)
                #expect(
                    targets.looks.allSatisfy {
                        $0.features.count == 1 && $0.features[0].allSatisfy { targets.colors[$0] - 1 == color }
                    })
            } else if turn.places.things.count == 2 {
                seen.pairs += 1
                let objects = turn.places.things.map { sample.metadata.objects[$0[0]] }
                for (object, features) in zip(objects, targets.looks.first?.features ?? []) {
                    #expect(features.allSatisfy { SyntheticObject.colors[targets.colors[$0] - 1] == object.color })
                }
                // In the order in which the question names them.
                let places = objects.map { turn.question.range(of: $0.label)?.lowerBound }
                let (first, second) = (try #require(places[0]), try #require(places[1]))
                #expect(first < second || turn.answer == "yes" || turn.answer == "no")
            }
        }
        #expect(seen.colors > 10 && seen.pairs > 5, "\(seen)")
    }

    @Test("Each token of a line that is read looks at the features that hold its characters")
    func reads() throws {
        let tiny = try TinyModel()
        let options = SyntheticOptions(seed: 5, turns: .single, weights: [.text: 1], sides: 140...280, difficulty: 0)
        let tokenizer = tiny.description.processor.tokenizer
        var looked = 0
        for (sample, sequence, targets) in try targets(tiny, options, 60) {
            let read = sample.turns[0].places.reads
            #expect(read.map { sample.metadata.objects[$0].label } == [sample.turns[0].answer])
            var spelled = ""
            for look in targets.looks {
                let token = tokenizer.bytes(of: sequence.rows[look.row + 1].id) ?? []
                let text = String(decoding: token, as: UTF8.self).filter { !$0.isWhitespace }
                let codes = Set(look.features[0].flatMap { targets.characters[$0 * 4..<$0 * 4 + 4] })
                // A cell tells the line nearest to its middle, and four characters of it.
                guard sample.metadata.objects.count == 1, !look.features[0].isEmpty else { continue }
                spelled += text
                looked += text.allSatisfy { codes.contains(RegionClasses.character($0)) } ? 1 : 0
            }
            if sample.metadata.objects.count == 1 {
                #expect(spelled == sample.turns[0].answer.filter { !$0.isWhitespace })
            }
        }
        #expect(looked > 100, "\(looked)")
    }

    @Test("What is spelled is the same text, a character a token, and what comes after moves by as much")
    func spelling() throws {
        let tiny = try TinyModel()
        let tokenizer = tiny.description.processor.tokenizer
        let options = SyntheticOptions(seed: 5, weights: [.text: 1], sides: 140...280, difficulty: 0)
        let (plain, spelled) = (try SyntheticSource(options), try SyntheticSource(options, spells: true))
        var longer = 0
        for number in 0..<30 {
            let answers = try plain.sample(at: number).answers
            let short = PreparedSample(number, (plain, number), tiny.description.processor, withRegions: true)
            let long = PreparedSample(number, (spelled, number), tiny.description.processor, withRegions: true)
            let before = try #require(short.sequence), after = try #require(long.sequence)
            #expect(try tokenizer.decode(before.ids) == tokenizer.decode(after.ids))
            let added = after.rows.count - before.rows.count
            longer += added
            #expect(after.nextPosition - before.nextPosition == Int32(added))
            #expect(after.rows.last?.id == before.rows.last?.id && after.imageTokenCount == before.imageTokenCount)
            // Text goes on by one from token to token, however many were put in.
            for (row, next) in zip(after.rows, after.rows.dropFirst()) where row.item < 0 && next.item < 0 {
                #expect(next.position == row.position &+ SIMD3(repeating: 1))
            }
            #expect(after.answerSpans.count == answers.count)
            for (spans, answer) in zip(zip(before.answerSpans, after.answerSpans), answers) {
                let tokens = after.rows[spans.1].dropLast()
                if answer.reads.isEmpty {
                    #expect(tokens.map(\.id) == before.rows[spans.0].dropLast().map(\.id))
                    continue
                }
                let texts = tokens.map { String(decoding: tokenizer.bytes(of: $0.id) ?? [], as: UTF8.self) }
                #expect(texts.allSatisfy { $0.count == 1 }, "\(texts)")
                // Each is told how much of its line stands already.
                let looks = try #require(long.regions).looks.filter { spans.1.contains($0.row + 1) }
                #expect(looks.first?.written == 0)
                #expect(looks.count == texts.count { !($0.first?.isWhitespace ?? true) })
                for (look, next) in zip(looks, looks.dropFirst()) {
                    #expect(next.written == look.written + 1 || next.written == 0)
                }
            }
        }
        #expect(longer > 20, "\(longer)")
    }

    @Test("Features along a line count its characters, and lines from above")
    func margins() throws {
        let tiny = try TinyModel()
        let options = SyntheticOptions(seed: 4, weights: [.text: 1], sides: 140...280, difficulty: 0)
        var told = 0
        for (sample, _, targets) in try targets(tiny, options, 40) {
            var before = 0, number = 0
            for cell in 0..<targets.count where targets.written[cell * 2] != RegionTargets.untold {
                let line = targets.written[cell * 2 + 1]
                #expect((0..<sample.metadata.objects.count).contains(line))
                guard sample.metadata.objects.count == 1 else { continue }
                #expect(line == 0 && targets.written[cell * 2] == before)
                let here = targets.characters[cell * 4..<cell * 4 + 4].count { $0 > 0 }
                before += here
                number += 1
                // More than a feature tells are not counted here.
                if here == 4 { break }
            }
            told += number
        }
        #expect(told > 15, "\(told)")
    }

    @Test("An answer on the order of two things is told that order, and one on bars their values")
    func orders() throws {
        let tiny = try TinyModel()
        let scenes = SyntheticOptions(
            seed: 14, turns: .single, weights: [.relation: 1], sides: 140...240, chineseShare: 0, difficulty: 0)
        var pairs = 0
        for (sample, _, targets) in try targets(tiny, scenes, 40) where sample.turns[0].places.things.count == 2 {
            let boxes = sample.turns[0].places.things.map { sample.metadata.objects[$0[0]].box }
            for look in targets.looks where sample.turns[0].places.things.allSatisfy({ $0.count == 1 }) {
                pairs += 1
                let leads = [
                    (boxes[0].center.x - boxes[1].center.x) / Double(sample.image.width),
                    (boxes[0].center.y - boxes[1].center.y) / Double(sample.image.height),
                ]
                #expect(look.order[2] == RegionTargets.untold)
                for (lead, order) in zip(leads, look.order) {
                    #expect(order == (abs(lead) < 0.06 ? RegionTargets.untold : lead > 0 ? 1 : 0))
                }
            }
        }
        let charts = SyntheticOptions(
            seed: 9, turns: .single, weights: [.chart: 1], sides: 168...240, chineseShare: 0, difficulty: 0)
        var values = 0, compared = 0
        for (sample, sequence, targets) in try targets(tiny, charts, 60) {
            let turn = sample.turns[0], span = try #require(sequence.answerSpans.first)
            for look in targets.looks where span.contains(look.row + 1) {
                let meant = turn.places.things.map { sample.metadata.objects[$0[0]].value }
                #expect(look.values == meant)
                values += 1
                guard meant.count == 2, let first = meant[0], let second = meant[1] else { continue }
                compared += 1
                #expect(look.order == [RegionTargets.untold, RegionTargets.untold, first > second ? 1 : 0])
                #expect((turn.answer == "yes") == (first > second))
            }
        }
        #expect(pairs > 20 && values > 30 && compared > 3, "\(pairs) \(values) \(compared)")
    }

    @Test("Where a question names a bar by its label, the label's last token looks for that bar", arguments: [0.0, 1])
    func names(_ chinese: Double) throws {
        let tiny = try TinyModel(), tokenizer = tiny.description.processor.tokenizer
        let charts = SyntheticOptions(
            seed: 9, weights: [.chart: 1], sides: 168...240, chineseShare: chinese, difficulty: 0, questions: 6...8)
        var named = 0, hidden = 0
        for (sample, sequence, targets) in try targets(tiny, charts, 20) {
            var start = 0
            for (turn, span) in zip(sample.turns, sequence.answerSpans) {
                defer { start = span.upperBound }
                let looks = targets.looks.filter { (start..<span.lowerBound - 1).contains($0.row) }
                let values = turn.places.names.map { name in
                    sample.metadata.objects.first { $0.label == name }?.value ?? 0
                }
                // Of a bar that is in no feature nothing can be told.
                hidden += values.count - looks.count
                for look in looks {
                    let name = turn.places.names[try #require(values.firstIndex(of: look.values[0]))]
                    // What stands before the token and in it ends with the name, but for a mark that the token may hold.
                    let text = String(
                        decoding: sequence.rows[start...look.row].flatMap { tokenizer.bytes(of: $0.id) ?? [] },
                        as: UTF8.self)
                    #expect(text.hasSuffix(name) || text.dropLast().hasSuffix(name), "\(text.suffix(20)): \(name)")
                    named += 1
                }
            }
        }
        #expect(named > 60 && hidden * 20 < named, "\(named) \(hidden)")
    }

    @Test("Where a bar's label stands the text's token for it is told, and nowhere else")
    func labels() throws {
        let tiny = try TinyModel(), tokenizer = tiny.description.processor.tokenizer
        // Features must be no larger than labels.
        let processor = try tiny.description.processor.limitingPixels(min: 60_000, max: 200_000)
        let charts = try SyntheticGenerator(
            SyntheticOptions(seed: 9, weights: [.chart: 1], sides: 200...280, difficulty: 0))
        var all = 0, found = 0
        for index in 0..<10 {
            let sample = try charts.sample(at: index)
            let targets = try #require(
                RegionTargets(
                    processor.process(sample.conversation, .training), pictures: [sample.regions],
                    answers: sample.turns.map(\.places), tokenizer: tokenizer))
            let labels = sample.metadata.captions.filter { $0.value != nil }.map(\.label)
            let tokens = try Set(labels.map { try Int(#require(tokenizer.encode(" " + $0).last)) })
            let told = targets.names.indices.filter { targets.names[$0] != RegionTargets.untold }
            #expect(targets.names.count == targets.count)
            #expect(
                told.allSatisfy { tokens.contains(targets.names[$0]) && targets.kinds[$0] == RegionClasses.writing })
            all += tokens.count
            found += Set(told.map { targets.names[$0] }).count
        }
        #expect(all > 20 && found * 10 >= all * 9, "\(found) of \(all)")
    }

    @Test("Features count what has begun before them, and an answer that counts looks where the count is whole")
    func counts() throws {
        let tiny = try TinyModel()
        let options = SyntheticOptions(
            seed: 6, turns: .single, weights: [.count: 1], sides: 140...240, difficulty: 0)
        var counted = 0
        for (sample, _, targets) in try targets(tiny, options, 40) {
            let objects = sample.metadata.objects
            /// The largest running count of one kind among features that belong to it.
            func most(_ tally: Int, where isMeant: (Int) -> Bool = { _ in true }) -> Int {
                targets.foreground.filter(isMeant).map { targets.counts[$0 * 4 + tally] }.max() ?? 0
            }
            #expect(most(3) == objects.count)
            for (index, shape) in SyntheticObject.shapes.enumerated() {
                #expect(most(0) { targets.kinds[$0] == index + 1 } == objects.count { $0.shape == shape })
            }
            for (index, color) in SyntheticObject.colors.enumerated() {
                #expect(most(1) { targets.colors[$0] == index + 1 } == objects.count { $0.color == color })
            }
            for cell in targets.foreground {
                let tallies = targets.counts[cell * 4..<cell * 4 + 4]
                #expect(tallies.allSatisfy { $0 >= 1 } && tallies.last == tallies.max())
            }
            #expect(targets.begins.count { $0 == 1 } == objects.count)
            guard let answer = Int(sample.turns[0].answer), answer > 0 else {
                #expect(targets.looks.isEmpty)
                continue
            }
            counted += 1
            #expect(!targets.looks.isEmpty)
            for cell in targets.looks.flatMap({ $0.features.joined() }) {
                #expect(targets.counts[cell * 4..<cell * 4 + 4].contains(answer), "\(sample.turns[0].question)")
            }
        }
        #expect(counted > 20)
    }

    @Test("Each part of a list looks at what it speaks of")
    func lists() throws {
        let tiny = try TinyModel()
        let options = SyntheticOptions(
            seed: 8, turns: .single, weights: [.describe: 1], sides: 140...240, chineseShare: 0, difficulty: 0)
        let tokenizer = tiny.description.processor.tokenizer
        for (sample, sequence, targets) in try targets(tiny, options, 12) {
            var parts = [""], lookedAt: [Set<Int>] = [[]]
            let answer = sequence.rows.indices.filter { sequence.rows[$0].isSupervised }
            #expect(targets.looks.count == answer.count - 1)
            for (row, look) in zip(answer, targets.looks) {
                #expect(look.row == row - 1)
                lookedAt[parts.count - 1].formUnion(look.features[0])
                let text = String(decoding: tokenizer.bytes(of: sequence.rows[row].id) ?? [], as: UTF8.self)
                parts[parts.count - 1] += text
                if text.contains(";") {
                    parts.append("")
                    lookedAt.append([])
                }
            }
            #expect(parts.count == sample.metadata.objects.count)
            for (number, object) in sample.metadata.objects.enumerated() {
                #expect(parts[number].contains(object.label))
                #expect(!lookedAt[number].isEmpty)
                for cell in lookedAt[number] {
                    #expect(SyntheticObject.colors[targets.colors[cell] - 1] == object.color)
                    #expect(SyntheticObject.shapes[targets.kinds[cell] - 1] == object.shape)
                }
            }
        }
        let charts = SyntheticOptions(seed: 9, turns: .single, weights: [.chart: 1], sides: 168...240, difficulty: 0)
        var values = 0
        for (sample, _, targets) in try targets(tiny, charts, 30) {
            guard let value = Int(sample.turns[0].answer), sample.turns[0].places.things.count == 1 else { continue }
            values += 1
            let cells = targets.looks.flatMap { $0.features.joined() }
            #expect(!cells.isEmpty && cells.allSatisfy { targets.values[$0] == value })
        }
        #expect(values > 8, "\(values)")
    }

    @Test("Attention learns where to look, the answer where that is, and both leave the answers' loss as it is")
    func learnsToLook() throws {
        let tiny = try TinyModel()
        let options = SyntheticOptions(seed: 4, weights: [.color: 1], sides: 112...140, difficulty: 0, maxObjects: 3)
        let lessons = try targets(tiny, options, 6)
        func step(look: Double) throws -> TrainingStep {
            let heads = try RegionHeads(tiny.model, layer: 1, seed: 1)
            let optimizer = try Optimizer(
                tiny.model.store.parameters + heads.store.parameters, dtype: .float32,
                settings: AdamWOptions(rate: 3e-3))
            return TrainingStep(
                model: tiny.model, optimizer: optimizer, threads: WorkerThreads(1),
                regions: (heads, Recipe.Regions(weight: 0, layer: 1, answers: true, look: look)))
        }
        let batch = [lessons.map(\.sequence)], targets = [lessons.map(\.targets)]
        let (without, with) = (try step(look: 0), try step(look: 1))
        let plain = try without.accumulate(batch, regions: targets, seed: nil)
        #expect(plain.regionLosses["look"] == nil)
        #expect(try with.accumulate(batch, regions: targets, seed: nil).loss == plain.loss)
        let losses = try (0..<16).map { _ in try with(batch, regions: targets, rate: 3e-3, clip: 1).regionLosses }
        for name in ["look", "asked"] {
            let (first, last) = (try #require(losses[0][name]), try #require(losses[15][name]))
            #expect(last < 0.7 * first, "\(name) \(losses.map { $0[name] ?? 0 })")
        }
    }

    @Test("A model learns what stands where")
    func learns() throws {
        let tiny = try TinyModel()
        let options = SyntheticOptions(seed: 4, weights: [.color: 1], sides: 112...140, difficulty: 0, maxObjects: 1)
        let lessons = try targets(tiny, options, 6)
        let heads = try RegionHeads(tiny.model, layer: nil, seed: 1)
        let optimizer = try Optimizer(
            tiny.model.store.parameters + heads.store.parameters, dtype: .float32, settings: AdamWOptions(rate: 3e-3))
        let step = TrainingStep(
            model: tiny.model, optimizer: optimizer, threads: WorkerThreads(1),
            regions: (heads, Recipe.Regions(weight: 1, layer: nil, answers: true)))
        let losses = try (0..<12).map { _ in
            let report = try step(
                [lessons.map(\.sequence)], regions: [lessons.map(\.targets)], rate: 3e-3, clip: 1)
            return try #require(report.regionLoss)
        }
        #expect(losses[11] < 0.6 * losses[0], "\(losses)")
    }

    @Test("A stopped run with regions goes on bit for bit, and its checkpoints hold the model alone")
    func resume() throws {
        let whole = try TemporaryFolder(), parts = try TemporaryFolder()
        let regions = ["stages.first.regions={weight: 0.5, layer: 1}"]
        func go(_ folder: TemporaryFolder, resume: Bool = false, stop: Int? = nil) throws -> Recorder {
            try run(tinyRecipe(folder, regions), resume: resume, stop: stop)
        }
        let straight = try go(whole)
        #expect(straight.steps[3].report.regionLoss != nil && straight.steps[4].report.regionLoss == nil)
        _ = try go(parts, stop: 2)
        _ = try go(parts, resume: true)
        for name in ["model.safetensors", "training/optimizer.safetensors"] {
            let path = "run/step-000007/\(name)"
            #expect(
                try Data(contentsOf: whole.url.appending(path: path))
                    == Data(contentsOf: parts.url.appending(path: path)))
        }
        let model = try ModelFolder(whole.url.appending(path: "run/step-000004"))
        _ = try model.loadModel(dtype: .float32)
    }
}
