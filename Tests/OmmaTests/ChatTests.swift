import Foundation
import Testing

/// `omma chat`, end to end.
@Suite(.serialized) struct ChatTests {
    @Test func answersAsJSON() throws {
        let outcome = try Program.run(
            "chat", "--model", Program.model, "--image", Program.picture, "--prompt", "What is this?", "--max-tokens",
            "4", "--temperature", "0", "--json")
        #expect(outcome.status == 0, "\(outcome.errors)")
        let answer = try outcome.json()
        #expect(
            Set(answer.keys) == [
                "text", "finish_reason", "prompt_tokens", "image_tokens", "completion_tokens",
                "seconds_to_first_token", "tokens_per_second",
            ])
        let prompt = try #require(answer["prompt_tokens"] as? Int), image = try #require(answer["image_tokens"] as? Int)
        #expect(image > 0 && prompt > image)
        let completion = try #require(answer["completion_tokens"] as? Int)
        #expect((0...4).contains(completion))
        #expect(answer["finish_reason"] as? String == (completion == 4 ? "length" : "stop"))
        #expect(try #require(answer["seconds_to_first_token"] as? Double) > 0)
        #expect(answer["text"] is String)
    }

    @Test func streamsWhatJSONHolds() throws {
        let arguments = ["chat", "--model", Program.model, "--prompt", "Hello", "--max-tokens", "12"]
        let (process, input, output, _) = Program.process(arguments)
        try process.run()
        try input.fileHandleForWriting.close()
        let streamed = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        process.waitUntilExit()
        let whole = try Program.run(
            "chat", "--model", Program.model, "--prompt", "Hello", "--max-tokens", "12", "--json")
        #expect(streamed == (try #require(whole.json()["text"] as? String)) + "\n")
    }

    @Test func readsThePictureFromStandardInput() throws {
        func ask(_ image: String, _ input: Data) throws -> String {
            let outcome = try Program.run(
                "chat", "--model", Program.model, "--image", image, "--prompt", "?", "--max-tokens", "4", input: input)
            #expect(outcome.status == 0, "\(outcome.errors)")
            return outcome.output
        }
        let bytes = try Data(contentsOf: URL(filePath: Program.picture))
        #expect(try ask("-", bytes) == ask(Program.picture, Data()))
    }

    @Test func conversationsGoOnAfterMistakes() throws {
        let lines = """
            /image \(Program.model)/no-such-file.png
            /wrong
            /image \(Program.picture)
            What is this?
            And this?
            /reset
            /image
            What is this?
            /quit
            never read
            """
        let outcome = try Program.run(
            "chat", "--model", Program.model, "--max-tokens", "3", "--temperature", "0", input: Data(lines.utf8))
        // Programs that write the lines learn that some failed.
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("no-such-file.png': there is no such file"))
        #expect(outcome.errors.contains("there is no command /wrong"))
        #expect(outcome.errors.contains("/image needs the name of a file"))
        #expect(outcome.errors.contains("goes with the next message"))
        let good = try Program.run(
            "chat", "--model", Program.model, "--max-tokens", "3", input: Data("Hello\n".utf8))
        #expect(good.status == 0, "\(good.errors)")
        #expect(good.errors.isEmpty)
    }

    @Test func promptsBeyondTheContextAreSaid() throws {
        let long = String(repeating: "word ", count: 3000)
        let outcome = try Program.run(
            "chat", "--model", Program.model, "--max-tokens", "2", input: Data("\(long)\nHello\n".utf8))
        #expect(outcome.errors.contains("the model takes 2048"))
        #expect(outcome.output.hasSuffix("\n"), "the second message is answered")
        #expect(outcome.status == 1)
    }

    @Test(arguments: [
        ["chat", "--modle", "x"], ["chat", "--json"], ["chat", "--prompt", "x", "--max-tokens", "0"],
        ["chat", "--prompt", "x", "--dtype", "f8"], ["chat", "--prompt", "x", "--top-p", "2"],
        ["chat", "--image", "-"], ["chat", "--prompt", "x", "--device", "tpu"], ["nonsense"], ["info", "a", "b"],
        ["demo", "--count", "0"], ["train"],
    ]) func usageErrorsEndWithTwo(arguments: [String]) throws {
        let (process, input, output, errors) = Program.process(arguments)
        try process.run()
        try input.fileHandleForWriting.close()
        let said = String(decoding: try errors.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 2)
        #expect(said.hasPrefix("omma: ") && said.split(separator: "\n").count == 1, "\(said)")
        #expect(try output.fileHandleForReading.readToEnd() ?? Data() == Data())
    }

    @Test func failuresEndWithOneAndALine() throws {
        for arguments in [
            ["--model", "/no/such/folder"], ["--model", Program.model, "--image", "/no/such/picture.png"],
            ["--model", Program.model, "--image", "-"], ["--model", Program.model, "--video", Program.model],
        ] {
            let (process, input, _, errors) = Program.process(["chat", "--prompt", "x"] + arguments)
            try process.run()
            try input.fileHandleForWriting.close()
            let said = String(decoding: try errors.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
            process.waitUntilExit()
            #expect(process.terminationStatus == 1)
            #expect(said.hasPrefix("omma: ") && said.split(separator: "\n").count == 1, "\(said)")
        }
    }

    @Test func interruptsEndTheAnswer() throws {
        let (process, input, output, _) = Program.process(
            ["chat", "--model", Program.model, "--prompt", "Hello", "--max-tokens", "1000"])
        try process.run()
        defer { if process.isRunning { process.terminate() } }
        try input.fileHandleForWriting.close()
        let first = output.fileHandleForReading.availableData
        #expect(!first.isEmpty)
        process.interrupt()
        let rest = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        #expect(process.terminationReason == .exit, "the answer ends, not the program")
        #expect(process.terminationStatus == 1)
        #expect((first + rest).last == UInt8(ascii: "\n"))
    }
}
