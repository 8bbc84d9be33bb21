import Data
import Foundation
import Testing

/// Not a check but a look: `OMMA_SHEET=/tmp/sheet.png swift test --filter SyntheticSheet` draws 30 samples to look at.
@Suite struct SyntheticSheetTests {
    @Test(.enabled(if: ProcessInfo.processInfo.environment["OMMA_SHEET"] != nil))
    func contactSheet() throws {
        let environment = ProcessInfo.processInfo.environment
        let path = try #require(environment["OMMA_SHEET"])
        var options = SyntheticOptions(seed: 7)
        if let name = environment["OMMA_SHEET_TASK"] {
            options.weights = SyntheticOptions.only(try #require(SyntheticTask(rawValue: name)))
        }
        if environment["OMMA_SHEET_SPLIT"] == "held-out" { (options.split, options.turns) = (.heldOut, .single) }
        if let hard = environment["OMMA_SHEET_DIFFICULTY"].flatMap(Double.init) { options.difficulty = hard }
        let generator = try SyntheticGenerator(options)
        let png = try ContactSheet(showsBoxes: environment["OMMA_SHEET_PLAIN"] == nil)
            .png((0..<30).map(generator.sample))
        try Data(png).write(to: URL(fileURLWithPath: path))
    }
}

/// `OMMA_SPEED=1 swift test --filter SyntheticSpeed` prints samples a second on one core, task by task.
@Suite struct SyntheticSpeedTests {
    @Test(.enabled(if: ProcessInfo.processInfo.environment["OMMA_SPEED"] != nil))
    func samplesASecond() throws {
        for task in [nil] + SyntheticTask.allCases.map(Optional.some) {
            var options = SyntheticOptions(seed: 1)
            if let task { options.weights = SyntheticOptions.only(task) }
            let generator = try SyntheticGenerator(options)
            _ = try generator.sample(at: 0)
            // Processor time: others may share the machine.
            let start = clock()
            for index in 1...400 { _ = try generator.sample(at: index) }
            let seconds = Double(clock() - start) / Double(CLOCKS_PER_SEC)
            print("\(task?.rawValue ?? "mixed"): \(Int(400 / seconds)) samples/s")
        }
    }
}
