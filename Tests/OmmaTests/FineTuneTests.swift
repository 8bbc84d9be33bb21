import Foundation
import TestSupport
import Testing

/// `omma finetune`, `omma merge` and `omma train`'s signals, end to end.
struct FineTuneTests {
    /// Conversations about the model's own pictures.
    private func data(_ folder: TemporaryFolder, rows: Int = 12) throws -> String {
        let lines = (0..<rows).map { row in
            #"{"messages":[{"role":"user","content":"<image>What is it?"},{"role":"assistant","content":"thing \#(row % 3)"}],"images":["\#(Program.picture)"]}"#
        }
        return try folder.write("data.jsonl", Data((lines.joined(separator: "\n") + "\n").utf8))
    }

    @Test func aDryRunShowsRowsAndWritesTheRecipe() throws {
        let folder = try TemporaryFolder()
        let outcome = try Program.run(
            "finetune", "--model", Program.model, "--data", data(folder), "--out", folder.path("out"), "--lora", "4",
            "--dry-run")
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("⟦thing 0") && outcome.output.contains("row 3:"))
        #expect(outcome.output.contains("<picture 1:") && outcome.output.contains("What is it?"))
        let recipe = try String(contentsOfFile: folder.path("out/recipe.yaml"), encoding: .utf8)
        #expect(recipe.contains("lora: {rank: 4, alpha: 8}") && recipe.contains("steps: 3"))
        #expect(!FileManager.default.fileExists(atPath: folder.path("out/latest")))
    }

    @Test func aLimitBelowTheModelsLeastSizeHoldsForSmallPicturesToo() throws {
        let folder = try TemporaryFolder()
        let outcome = try Program.run(
            "finetune", "--model", Program.model, "--data", data(folder), "--out", folder.path("out"), "--max-pixels",
            "900", "--optimizer", "muon", "--dry-run")
        #expect(outcome.status == 0, "\(outcome.errors)")
        let recipe = try String(contentsOfFile: folder.path("out/recipe.yaml"), encoding: .utf8)
        #expect(recipe.contains("optimizer: muon"))
        #expect(recipe.contains("min_pixels: 900, max_pixels: 900}"))
    }

    @Test func adaptersMayHaveLengthsAndABaseInFourBits() throws {
        let folder = try TemporaryFolder(), out = folder.path("out")
        let trained = try Program.run(
            "finetune", "--model", Program.model, "--data", data(folder), "--out", out, "--lora", "4", "--steps", "2",
            "--dora", "--qlora")
        #expect(trained.status == 0, "\(trained.errors)")
        let recipe = try String(contentsOfFile: folder.path("out/recipe.yaml"), encoding: .utf8)
        #expect(recipe.contains("lora: {rank: 4, alpha: 8, dora: true, base_bits: 4}"))
        let merged = try Program.run("merge", "--adapter", "\(out)/step-000002", "--out", folder.path("merged"))
        #expect(merged.status == 0, "\(merged.errors)")
        let both = try Program.run(
            "finetune", "--model", Program.model, "--data", data(folder), "--out", out, "--full", "--qlora")
        #expect(both.status == 2)
    }

    @Test func anAdapterIsTrainedAskedAndMerged() throws {
        let folder = try TemporaryFolder(), out = folder.path("out"), file = try data(folder)
        let trained = try Program.run(
            "finetune", "--model", Program.model, "--data", file, "--out", out, "--lora", "4", "--steps", "3",
            "--held-out", file)
        #expect(trained.status == 0, "\(trained.errors)")
        #expect(trained.output.contains("omma chat --model \(out)/step-000003"))
        #expect(trained.errors.contains("held out: loss"))
        let again = try Program.run("finetune", "--model", Program.model, "--data", file, "--out", out)
        #expect(again.status == 1 && again.errors.contains("holds a run already"))

        func ask(_ arguments: [String]) throws -> String {
            let asked = Program.process(
                [
                    "chat", "--image", Program.picture, "--prompt", "What is it?", "--max-tokens", "8", "--temperature",
                    "0", "--dtype", "f32",
                ] + arguments)
            try asked.process.run()
            let text = try asked.output.fileHandleForReading.readToEnd() ?? Data()
            asked.process.waitUntilExit()
            #expect(asked.process.terminationStatus == 0)
            return String(decoding: text, as: UTF8.self)
        }
        let adapter = "\(out)/step-000003"
        let answer = try ask(["--model", adapter])
        #expect(try ask(["--model", Program.model, "--adapter", adapter]) == answer)
        #expect(try ask(["--adapter", adapter]) == answer)
        let merged = try Program.run("merge", "--adapter", adapter, "--out", folder.path("merged"))
        #expect(merged.status == 0, "\(merged.errors)")
        #expect(try ask(["--model", folder.path("merged")]) == answer)
    }

    @Test func badRowsAreListedBeforeAnythingIsLoaded() throws {
        let folder = try TemporaryFolder()
        let file = try data(folder)
        var text = try String(contentsOfFile: file, encoding: .utf8)
        text +=
            #"{"messages":[{"role":"user","content":"<image>?"},{"role":"assistant","content":"x"}],"images":["gone.png"]}"#
            + "\n{\n"
        try text.write(toFile: file, atomically: true, encoding: .utf8)
        let outcome = try Program.run("finetune", "--model", Program.model, "--data", file, "--out", folder.path("out"))
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("gone.png") && outcome.errors.contains("2 of 14 rows"))
        #expect(!FileManager.default.fileExists(atPath: folder.path("out")))
        #expect(
            try Program.run("finetune", "--model", Program.model, "--data", file, "--out", "x", "--lora", "0").status
                == 2)
    }

    @Test func sigtermSavesAndResumeGoesOn() throws {
        let folder = try TemporaryFolder(), out = folder.path("out")
        let running = Program.process(
            ["finetune", "--model", Program.model, "--data", try data(folder), "--out", out, "--steps", "100000"])
        try running.process.run()
        let log = "\(out)/log.jsonl", deadline = Date.now.addingTimeInterval(300)
        while (try? String(contentsOfFile: log, encoding: .utf8).contains("first batch")) != true,
            Date.now < deadline
        {
            Thread.sleep(forTimeInterval: 0.05)
        }
        running.process.terminate()
        let said = try running.output.fileHandleForReading.readToEnd() ?? Data()
        running.process.waitUntilExit()
        #expect(running.process.terminationStatus == 0)
        #expect(String(decoding: said, as: UTF8.self).contains("stopped by SIGTERM"))
        let latest = try String(contentsOfFile: "\(out)/latest", encoding: .utf8).trimmingCharacters(in: .newlines)
        #expect(latest != "step-000000")
        #expect(FileManager.default.fileExists(atPath: "\(out)/\(latest)/adapter_model.safetensors"))
    }
}
