import Foundation
import TestSupport
import Testing
import Training

@testable import Evaluation

@Suite("Reports of runs")
struct RunReportTests {
    /// A run's folder with a log of these lines.
    private func run(_ folder: TemporaryFolder, _ name: String, _ lines: [String]) throws -> RunHistory {
        let run = folder.url.appending(path: name)
        try FileManager.default.createDirectory(at: run, withIntermediateDirectories: true)
        try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: run.appending(path: "log.jsonl"))
        return try RunHistory(run)
    }

    private func step(_ step: Int, loss: String, stage: String = "only") -> String {
        #"{"event":"step","step":\#(step),"stage":"\#(stage)","loss":\#(loss),"gradientNorm":2,"gradientNorms":{"tower":1,"decoder":1.7},"learningRate":0.001,"tokens":100,"tokensPerSecond":50,"utilisation":0.25,"filled":0.97,"residentBytes":1000000000,"waitedSeconds":0.5,"trainedSeconds":\#(2 * step),"skippedSteps":1,"skippedSamples":2,"sources":{"a.jsonl":{"samples":3,"tokens":75},"b.jsonl":{"samples":1,"tokens":25}}}"#
    }

    private func start(_ event: String = "start", step: Int = 0, recipe: String = "seed: 1") -> String {
        #"{"event":"\#(event)","step":\#(step),"run":{"name":"n","step":\#(step),"isResumed":\#(event == "resume"),"time":0,"parameters":1000,"recipe":"\#(recipe)","machine":{"processor":"P","cores":2,"memory":8000000000,"system":"S","libtorch":"2.11.0","precision":"bf16","ranks":1,"threads":1,"operationThreads":2,"matrixRate":1e11}}}"#
    }

    @Test("The page holds every section, and nothing that must be fetched")
    func sections() throws {
        let folder = try TemporaryFolder()
        let png = try Data(contentsOf: Fixtures.goldens.appending(path: "qwen2vl_small/images/small_a.png"))
        try FileManager.default.createDirectory(
            at: folder.url.appending(path: "one/answers"), withIntermediateDirectories: true)
        try png.write(to: folder.url.appending(path: "one/answers/0123456789abcdef.png"))
        func answer(_ step: Int, _ text: String) -> String {
            #"{"event":"answer","step":\#(step),"sample":"s","question":"What?","truth":"red","answer":"\#(text)","files":["answers/0123456789abcdef.png","../../secret.png"]}"#
        }
        let one = try run(
            folder, "one",
            [
                start(), step(1, loss: "3"), step(2, loss: "\"nan\""), step(3, loss: "1.5", stage: "next"),
                #"{"event":"evaluation","step":3,"loss":1.25,"accuracy":0.5,"blindLoss":2,"blindAccuracy":0.25,"measure":"right"}"#,
                answer(1, "blue"), answer(2, "blue"), answer(3, "red"),
                #"{"event":"skipped","step":1,"sample":"bad:1","reason":"unreadable","text":"no <picture>"}"#,
                #"{"event":"skippedStep","step":2,"loss":"nan","gradientNorm":"nan","text":"s1, s2"}"#,
                #"{"event":"unknown of later versions","step":"three"}"#, "{\"event\":\"step\",\"st",
            ])
        let page = RunReport([one]).html
        for text in [
            "Loss", "Held-out loss", "Held-out accuracy, right", "Learning rate", "Norm of the gradients, by part",
            "Tokens a second", "Model FLOP utilisation", "Share of rows", "Resident memory", "a.jsonl",
            "75 % of tokens",
            "75 % of samples", "What?", "✓ red", "1–2", "bad:1", "no &lt;picture&gt;", "unreadable 1", "s1, s2",
            "2.11.0", "100 GFLOP/s", "seed: 1", "at step</dt><dd>3<", "prefers-color-scheme: dark",
            "1970-01-01T00:00:00Z",
            ">next<",
        ] {
            #expect(page.contains(text), "\(text)")
        }
        #expect(page.components(separatedBy: "data:image/png;base64,").count == 2)
        #expect(!page.contains("http://") && !page.contains("https://") && !page.contains("src=\"/"))
        #expect(page.components(separatedBy: "<figure").count == 10)
    }

    @Test("Several runs stand side by side, with what their recipes differ in")
    func several() throws {
        let folder = try TemporaryFolder()
        let one = try run(folder, "x/run", [start(), step(1, loss: "3"), step(2, loss: "2")])
        let two = try run(
            folder, "y/run",
            [
                start(recipe: "seed: 2"), step(1, loss: "3"), start("resume", step: 1, recipe: "seed: 2"),
                step(2, loss: "1"),
            ])
        let page = RunReport([one, two]).html
        #expect(page.contains("x/run") && page.contains("y/run"))
        #expect(page.contains("- seed: 1") && page.contains("+ seed: 2") && page.contains("1 times"))
        #expect(page.contains("2 training runs"))
    }

    @Test("What a log says cannot become part of the page")
    func hostile() throws {
        let folder = try TemporaryFolder()
        let evil = "</script><script>alert(1)</script>"
        let run = try run(
            folder, "evil",
            [
                start(recipe: evil), step(1, loss: "3", stage: evil).replacing("a.jsonl", with: evil),
                step(2, loss: "2").replacing("tower", with: evil),
                #"{"event":"answer","step":1,"sample":"\#(evil)","question":"\#(evil)","truth":"\#(evil)","answer":"\#(evil)"}"#,
                #"{"event":"skipped","step":1,"sample":"\#(evil)","reason":"\#(evil)","text":"\#(evil)"}"#,
            ])
        let page = RunReport([run]).html
        #expect(!page.contains("<script>alert"))
        // Each figure has one script of data, and the page one of its own.
        #expect(page.components(separatedBy: "</script>").count == page.components(separatedBy: "<script").count)
        #expect(page.components(separatedBy: "</script>").count - 1 == page.components(separatedBy: "<figure").count)
    }

    @Test("A folder that is no run's is refused with a word")
    func refused() throws {
        let folder = try TemporaryFolder()
        #expect(throws: RunHistoryError.self) { try RunHistory(folder.url) }
        #expect(throws: RunHistoryError.self) { try run(folder, "empty", ["{}", "nothing"]) }
    }

    @Test("Axes have round numbers inside of them", arguments: [(0.0, 7.3), (1e-6, 4e-5), (0.2, 0.2), (-3, 1000)])
    func axes(_ low: Double, _ high: Double) throws {
        for isLogarithmic in [false, true] where low > 0 || !isLogarithmic {
            let frame = try #require(LineChart.Frame([(1, low), (500, high)], isLogarithmic: isLogarithmic))
            #expect((2...9).contains(frame.yTicks.count), "\(frame.yTicks)")
            for tick in frame.yTicks {
                #expect((0...100).contains(try #require(Double(frame.top(tick, 100)))))
            }
            #expect(frame.xTicks.allSatisfy { (1...500).contains($0) } && frame.xTicks.count >= 3)
        }
    }
}
