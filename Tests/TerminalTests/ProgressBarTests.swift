import Foundation
import Synchronization
import TestSupport
import Testing

@testable import Terminal

@Suite struct ProgressBarTests {
    /// What a bar wrote, and its clock.
    final class Stage: Sendable {
        let folder: TemporaryFolder
        let output: TerminalOutput
        private let file: FileHandle
        private let time = Mutex(0.0)

        init(terminal: Bool, columns: Int = 100, environment: [String: String] = [:]) throws {
            folder = try TemporaryFolder()
            let path = try folder.write("out", [])
            let handle = try #require(FileHandle(forWritingAtPath: path))
            file = handle
            output = TerminalOutput(
                descriptor: handle.fileDescriptor, terminal: terminal, columns: columns,
                environment: { environment[$0] })
        }

        func advance(_ seconds: Double) { time.withLock { $0 += seconds } }
        func now() -> Double { time.withLock { $0 } }
        func bar(_ label: String = "train", total: Int?, done: Int = 0) -> ProgressBar {
            ProgressBar(label, total: total, done: done, unit: "step", output: output) { self.now() }
        }
        var text: String { (try? String(contentsOfFile: folder.path("out"), encoding: .utf8)) ?? "" }
    }

    @Test func aFileGetsPlainLinesFiveSecondsApart() throws {
        let stage = try Stage(terminal: false)
        let bar = stage.bar(total: 1000)
        for _ in 0..<100 {
            stage.advance(0.25)
            bar.advance(note: "loss 1.5")
        }
        bar.finish()
        bar.advance()
        bar.finish()
        let lines = stage.text.split(separator: "\n")
        try #require(lines.count == 7, "\(stage.text)")
        #expect(!stage.text.contains("\u{1B}") && !stage.text.contains("\r"))
        #expect(lines[1].hasPrefix("train    2 %  20/1,000  4.00 steps/s  ETA 4:05"), "\(lines[1])")
        #expect(lines[6].contains("10 %  100/1,000  4.00 steps/s  in 25 s") && lines[6].hasSuffix("loss 1.5"))
    }

    @Test func aTerminalsLineIsRedrawnAndNeverWraps() throws {
        for columns in [20, 40, 59, 60, 80, 200] {
            let stage = try Stage(terminal: true, columns: columns, environment: ["LANG": "C.UTF-8"])
            let bar = stage.bar("訓練 🙂", total: 50)
            for _ in 0..<50 {
                stage.advance(0.0625)
                bar.advance(note: "損失 1.5")
            }
            bar.finish()
            let redraws = stage.text.split(separator: "\r")
            // One in two steps of 62.5 ms, the first and the last.
            #expect((26...27).contains(redraws.count), "\(redraws.count)")
            for redraw in redraws {
                let plain = redraw.replacing(try Regex("\u{1B}\\[[0-9]*[mK]"), with: "").filter { $0 != "\n" }
                #expect(plain.displayWidth < columns, "\(plain)")
                #expect(redraw.hasSuffix("\u{1B}[K") || redraw.hasSuffix("\u{1B}[K\n"))
            }
            #expect(stage.text.contains("━") == (columns >= 60))
        }
    }

    @Test func coloursAndUnicodeAreShownWhereTheyAreWanted() throws {
        func text(_ environment: [String: String], terminal: Bool = true) throws -> String {
            let stage = try Stage(terminal: terminal, environment: environment)
            stage.bar(total: 2, done: 1).finish()
            stage.output.warn("x")
            return stage.text
        }
        let colour = try text(["LANG": "de_DE.UTF-8"])
        #expect(colour.contains("\u{1B}[32m━") && colour.contains("\u{1B}[33mwarning:"))
        let plain = try text(["LANG": "de_DE.UTF-8", "NO_COLOR": "1"])
        #expect(!plain.contains("\u{1B}[32m") && plain.contains("━") && plain.contains("warning: x"))
        #expect(try text(["LANG": "C"]).contains("###"))
        #expect(try !text(["TERM": "dumb"]).contains("\u{1B}"))
        #expect(try !text(["LANG": "C.UTF-8"], terminal: false).contains("\u{1B}"))
    }

    @Test func oddTotalsAreShown() throws {
        let stage = try Stage(terminal: false)
        stage.bar(total: 0).finish()
        let beyond = stage.bar(total: 10)
        stage.advance(6)
        beyond.update(to: 20)
        beyond.finish()
        let unknown = stage.bar(total: nil)
        stage.advance(6)
        unknown.advance(by: 3000)
        unknown.finish(note: "done\u{1B}[2J")
        #expect(stage.text.contains("100 %  0/0") && stage.text.contains("100 %  20/10"))
        #expect(stage.text.contains("train  3,000  500 steps/s") && !stage.text.contains("\u{1B}"))
    }

    @Test func aResumedRunsSpeedCountsOnlyItsOwnWork() throws {
        let stage = try Stage(terminal: false)
        let bar = stage.bar(total: 1000, done: 900)
        stage.advance(10)
        bar.update(to: 910)
        bar.finish()
        #expect(stage.text.contains("91 %  910/1,000  1.00 steps/s  ETA 1:30"), "\(stage.text)")
    }

    @Test func messagesStandAboveTheBar() throws {
        let stage = try Stage(terminal: true)
        let bar = stage.bar(total: 3)
        bar.message("skipped one")
        #expect(stage.text.contains("\r\u{1B}[Kskipped one\n\rtrain"))
    }

    #if canImport(Glibc)
        private let openFiles = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    #else
        private let openFiles = RLIMIT_NOFILE
    #endif

    @Test func aClosedOutputIsSilent() throws {
        var pipes: [Int32] = [0, 0]
        #expect(pipe(&pipes) == 0)
        close(pipes[0])
        // Nobody reads: the first write breaks, and must not end the program.
        let output = TerminalOutput(descriptor: pipes[1])
        for _ in 0..<3 { output.line("hello") }
        close(pipes[1])
        // A descriptor that is closed from the start, and later given to a file. The last one that a process may have:
        // lower ones may belong to tests that run beside this one.
        var limit = rlimit()
        #expect(getrlimit(openFiles, &limit) == 0)
        let last = Int32(clamping: limit.rlim_cur) - 1
        let folder = try TemporaryFolder()
        let path = try folder.write("x", [])
        let closed = TerminalOutput(descriptor: last)
        let file = open(path, O_WRONLY)
        #expect(dup2(file, last) == last)
        let bar = ProgressBar("train", total: 3, output: closed)
        bar.advance()
        bar.finish()
        close(last)
        close(file)
        #expect(try Data(contentsOf: URL(filePath: path)).isEmpty)
    }

    @Test func manyThreadsCountRight() async throws {
        let stage = try Stage(terminal: false)
        let bar = stage.bar(total: 8000)
        await withTaskGroup { group in
            for _ in 0..<8 { group.addTask { for _ in 0..<1000 { bar.advance() } } }
        }
        bar.finish()
        #expect(stage.text.contains("8,000/8,000"))
    }
}
