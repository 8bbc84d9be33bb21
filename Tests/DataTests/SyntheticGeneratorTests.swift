import Data
import Foundation
import Media
import Models
import Testing

@Suite struct SyntheticGeneratorTests {
    @Test func sampleIsAFunctionOfSeedAndIndex() throws {
        let first = try SyntheticGenerator(SyntheticOptions(seed: 3))
        let second = try SyntheticGenerator(SyntheticOptions(seed: 3))
        let other = try SyntheticGenerator(SyntheticOptions(seed: 4))
        // Out of order, so that nothing may carry over from one sample to the next.
        let late = try (0..<20).reversed().map(second.sample)
        for index in 0..<20 {
            let sample = try first.sample(at: index)
            #expect(sample == late[19 - index])
            #expect(sample.image != (try other.sample(at: index)).image)
        }
    }

    @Test func onlyWeightedTasksAreAsked() throws {
        let generator = try SyntheticGenerator(SyntheticOptions(seed: 6, weights: [.color: 1, .shape: 2, .box: 0]))
        let turns = try (0..<60).flatMap { try generator.sample(at: $0).turns }
        #expect(Set(turns.map(\.task)) == [.color, .shape])
        #expect(turns.count > 100)
    }

    @Test func earlyLessonsHoldFewObjects() throws {
        let generator = try SyntheticGenerator(
            SyntheticOptions(seed: 8, weights: [.color: 1, .count: 1, .box: 1], maxObjects: 1))
        let samples = try (0..<60).map(generator.sample)
        #expect(samples.allSatisfy { $0.metadata.objects.count == 1 })
        #expect(
            samples.allSatisfy { sample in sample.turns.allSatisfy { $0.task != .count || Int($0.answer) ?? 2 <= 1 } })
    }

    @Test func conversationsAskAsMuchAsWanted() throws {
        let weights: [SyntheticTask: Double] = [.color: 1, .shape: 1, .count: 1, .relation: 1, .chart: 1]
        func conversations(_ questions: ClosedRange<Int>) throws -> [[SyntheticTurn]] {
            let generator = try SyntheticGenerator(
                SyntheticOptions(seed: 8, weights: weights, sides: 168...224, questions: questions))
            return try (0..<40).map { try generator.sample(at: $0).turns }
        }
        let (few, many) = (try conversations(1...1), try conversations(9...12))
        // A chart has a value, a comparison and its list at least.
        #expect(few.allSatisfy { $0.count <= ($0[0].task == .chart ? 3 : 1) })
        let asked = many.map(\.count).reduce(0, +)
        #expect(asked > 40 * 6, "only \(asked) questions about 40 pictures")
        #expect(many.allSatisfy { turns in Set(turns.map(\.question)).count == turns.count })
        #expect(throws: SyntheticError.self) { try SyntheticGenerator(SyntheticOptions(questions: 0...3)) }
    }

    @Test func threadsAgreeWithOne() async throws {
        // Text above all: Cairo's glyph cache is what threads would meet in.
        let weights: [SyntheticTask: Double] = [.text: 8, .chart: 2, .describe: 1]
        let generator = try SyntheticGenerator(SyntheticOptions(seed: 5, weights: weights))
        let alone = try (0..<300).map(generator.sample)
        let together = try await withThrowingTaskGroup(of: (Int, SyntheticSample).self) { group in
            for index in 0..<300 { group.addTask { (index, try generator.sample(at: index)) } }
            return try await group.reduce(into: [Int: SyntheticSample]()) { $0[$1.0] = $1.1 }
        }
        for index in 0..<300 { #expect(together[index] == alone[index]) }
    }

    @Test(arguments: SyntheticTask.allCases + SyntheticTask.keptBack)
    func boxesLieInsideThePicture(task: SyntheticTask) throws {
        for turns in [SyntheticOptions.Turns.single, .several] {
            let generator = try SyntheticGenerator(
                SyntheticOptions(seed: 11, turns: turns, weights: SyntheticOptions.only(task)))
            for index in 0..<40 {
                let sample = try generator.sample(at: index)
                let frame = Rectangle(
                    x: 0, y: 0, width: Double(sample.image.width), height: Double(sample.image.height))
                #expect(!sample.metadata.objects.isEmpty)
                for object in sample.metadata.objects { #expect(frame.contains(object.box), "\(index) \(object)") }
                #expect(turns == .single ? sample.turns.count == 1 : !sample.turns.isEmpty)
                #expect(sample.turns.contains { $0.task == task })
                for turn in sample.turns {
                    #expect(!turn.answer.isEmpty && !turn.question.contains("{"))
                    for found in Scoring.boxes(in: turn.answer) {
                        #expect(found.box.x1 < found.box.x2 && found.box.y1 < found.box.y2 && found.box.x2 < 1000)
                    }
                }
            }
        }
    }

    @Test func heldOutFontsStayOutOfTraining() throws {
        let weights: [SyntheticTask: Double] = [.text: 1, .chart: 1]
        let held = Set(SyntheticGenerator.fontFamilies(.heldOut)).subtracting(SyntheticGenerator.fontFamilies(.train))
        #expect(!held.isEmpty)
        func fonts(_ split: SyntheticOptions.Split) throws -> [String] {
            let generator = try SyntheticGenerator(SyntheticOptions(seed: 1, split: split, weights: weights))
            return try (0..<200).compactMap { try generator.sample(at: $0).metadata.font }
        }
        #expect(try fonts(.train).allSatisfy { !held.contains($0) })
        let shown = try fonts(.heldOut)
        #expect(Double(shown.count { held.contains($0) }) > 0.35 * Double(shown.count))
    }

    @Test func badOptionsAreRefused() {
        #expect(throws: SyntheticError.self) { try SyntheticGenerator(SyntheticOptions(weights: [:])) }
        #expect(throws: SyntheticError.self) { try SyntheticGenerator(SyntheticOptions(weights: [.text: -1])) }
        #expect(throws: SyntheticError.self) { try SyntheticGenerator(SyntheticOptions(sides: 10...20)) }
        #expect(throws: SyntheticError.self) { try SyntheticGenerator(SyntheticOptions(difficulty: 2)) }
    }
}
