import Foundation
import TestSupport
import Testing

/// `omma inspect`, end to end.
@Suite struct InspectTests {
    private func inspect(_ arguments: String..., model: String = Program.model) throws -> Program.Outcome {
        let (process, input, output, errors) = Program.process(["inspect", "--model", model] + arguments)
        try process.run()
        try input.fileHandleForWriting.close()
        let written = try output.fileHandleForReading.readToEnd() ?? Data()
        let said = try errors.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return Program.Outcome(
            status: process.terminationStatus, output: String(decoding: written, as: UTF8.self),
            errors: String(decoding: said, as: UTF8.self))
    }

    /// Width and height in a PNG's header.
    private func size(_ png: Data) -> (width: Int, height: Int) {
        func number(_ place: Int) -> Int { png[place..<place + 4].reduce(0) { $0 << 8 | Int($1) } }
        return (number(16), number(20))
    }

    @Test func drawsWhatNativeResolutionSees() throws {
        let folder = try TemporaryFolder(), out = folder.path("seen.png")
        let outcome = try inspect(
            "--image", Program.picture, Program.picture, "--out", out, "--prompt", "Two <|im_end|> pictures", "--json")
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.errors.isEmpty)
        let seen = try outcome.json()
        let pictures = try #require(seen["pictures"] as? [[String: Any]])
        #expect(pictures.count == 2)
        let chat = try Program.run(
            "chat", "--model", Program.model, "--image", Program.picture, "--image", Program.picture, "--prompt",
            "Two <|im_end|> pictures", "--max-tokens", "1", "--json"
        ).json()
        #expect(seen["tokens"] as? Int == chat["prompt_tokens"] as? Int)
        #expect(seen["image_tokens"] as? Int == chat["image_tokens"] as? Int)
        let prompt = try #require(seen["prompt"] as? [[String: Any]])
        #expect(prompt.reduce(0) { $0 + ($1["tokens"] as? Int ?? 0) } == seen["tokens"] as? Int)
        // What a person types stays text.
        let texts = prompt.filter { $0["kind"] as? String == "text" }.map { $0["text"] as? String }
        #expect(texts.contains("Two <|im_end|> pictures"))
        for (index, picture) in pictures.enumerated() {
            let runs = prompt.filter { $0["picture"] as? Int == index }
            #expect(runs.count == 1 && runs[0]["tokens"] as? Int == picture["tokens"] as? Int)
            let view = try #require((picture["views"] as? [[String: Any]])?.first)
            let tokens = try #require(view["tokens"] as? [Int])
            #expect(tokens[1] - tokens[0] == picture["tokens"] as? Int)
            let width = try #require(view["width"] as? Int), height = try #require(view["height"] as? Int)
            #expect(width * height == (picture["tokens"] as? Int ?? 0) * 16 * 16, "a token is 2 × 2 patches of 8")
        }
        let png = try Data(contentsOf: URL(filePath: out))
        #expect(png.starts(with: [0x89, 0x50, 0x4E, 0x47]) && size(png).width > 1000 && size(png).height > 500)
        _ = try inspect("--image", Program.picture, Program.picture, "--out", folder.path("again.png"), "--prompt", "x")
        _ = try inspect("--image", Program.picture, Program.picture, "--out", folder.path("third.png"), "--prompt", "x")
        let (again, third) = (folder.url.appending(path: "again.png"), folder.url.appending(path: "third.png"))
        #expect(try Data(contentsOf: again) == Data(contentsOf: third), "the same drawing for the same question")
    }

    @Test func aWrongNormalisationShows() throws {
        let folder = try TemporaryFolder()
        for file in try FileManager.default.contentsOfDirectory(atPath: Program.model)
        where file.hasSuffix(".json") || file.hasSuffix(".txt") || file.hasSuffix(".jinja") {
            try folder.write(file, Data(contentsOf: URL(filePath: "\(Program.model)/\(file)")))
        }
        let out = folder.path("right.png"), other = folder.path("wrong.png")
        let right = try inspect("--image", Program.picture, "--out", out, model: folder.path)
        #expect(right.status == 0 && right.errors.isEmpty, "\(right.errors)")
        let file = "\(folder.path)/preprocessor_config.json"
        var fields = try #require(
            JSONSerialization.jsonObject(with: Data(contentsOf: URL(filePath: file))) as? [String: Any])
        fields["image_std"] = [0.1, 0.2, 0.3]
        try JSONSerialization.data(withJSONObject: fields).write(to: URL(filePath: file))
        let wrong = try inspect("--image", Program.picture, "--out", other, model: folder.path)
        #expect(wrong.status == 0 && wrong.errors.contains("[0.1, 0.2, 0.3]"), "\(wrong.errors)")
        #expect(try Data(contentsOf: URL(filePath: out)) != Data(contentsOf: URL(filePath: other)))
    }

    @Test(
        .enabled(if: Fixtures.has("internvl2_qwen2") && Fixtures.has("nvlm_d")),
        arguments: ["internvl2_qwen2", "nvlm_d"])
    func drawsTilesInTheSequence(name: String) throws {
        let model = try Fixtures.path(name), folder = try TemporaryFolder()
        let outcome = try inspect(
            "--image", "\(model)/images/photo_420_q75.jpg", "--out", folder.path("seen.png"), "--json", model: model)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let picture = try #require((try outcome.json()["pictures"] as? [[String: Any]])?.first)
        let views = try #require(picture["views"] as? [[String: Any]])
        #expect(views.count > 2 && views.last?["place"] as? String == "thumbnail")
        #expect(views.count == (picture["shape"] as? [Int])?.first)
        // Tiles take the places of the picture's tokens one after another, and all of them.
        let ranges = views.compactMap { $0["tokens"] as? [Int] }
        #expect(ranges.count == views.count)
        #expect(ranges.reduce(0) { $0 + $1[1] - $1[0] } == picture["tokens"] as? Int)
        #expect(zip(ranges, ranges.dropFirst()).allSatisfy { $0[1] <= $1[0] })
        if name == "nvlm_d" {
            #expect(views[0]["tag"] as? String == "<tile_1>")
            #expect(views.last?["tag"] as? String == "<tile_global_thumbnail>")
        }
    }

    @Test(.enabled(if: Fixtures.has("nvlm_x") && Fixtures.has("nvlm_h")), arguments: ["nvlm_x", "nvlm_h"])
    func drawsTilesBesideTheSequence(name: String) throws {
        let model = try Fixtures.path(name), folder = try TemporaryFolder()
        let picture = "\(try Fixtures.path("nvlm_d"))/images/photo_420_q75.jpg"
        let outcome = try inspect(
            "--image", picture, picture, "--out", folder.path("seen.png"), "--json", model: model)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let seen = try outcome.json(), pictures = try #require(seen["pictures"] as? [[String: Any]])
        let views = pictures.flatMap { $0["views"] as? [[String: Any]] ?? [] }
        let columns = views.compactMap { $0["columns"] as? [Int] }
        // Together the tiles' columns are all columns, in order.
        #expect(columns.first?[0] == 0 && columns.last?[1] == seen["columns"] as? Int)
        #expect(zip(columns, columns.dropFirst()).allSatisfy { $0[1] == $1[0] })
        let prompt = try #require(seen["prompt"] as? [[String: Any]])
        if name == "nvlm_x" {
            #expect(columns.count == views.count && seen["image_tokens"] as? Int == 0)
            for view in views {
                let tag = try #require(view["tag"] as? String)
                #expect(
                    prompt.contains {
                        $0["text"] as? String == tag && $0["sees"] as? [Int] == view["columns"] as? [Int]
                    })
            }
        } else {
            let thumbnails = views.filter { $0["place"] as? String == "thumbnail" }
            #expect(thumbnails.count == 2 && thumbnails.allSatisfy { $0["tokens"] != nil && $0["tag"] == nil })
            #expect(columns.count == views.count - 2)
        }
    }

    @Test func mistakesAreSaid() throws {
        #expect(try inspect("--image", Program.picture).status == 2, "neither a drawing nor JSON")
        #expect(try inspect("--image", Program.picture, "--out", "seen.gif").status == 2)
        #expect(try inspect("--out", "seen.png").status == 2, "no picture")
        let missing = try inspect("--image", "/no/such/picture.png", "--json")
        #expect(missing.status == 1 && missing.errors.contains("/no/such/picture.png"))
        let unwritable = try inspect("--image", Program.picture, "--out", "/no/such/folder/seen.png")
        #expect(unwritable.status == 1 && unwritable.errors.contains("/no/such/folder/seen.png"))
        let text = Fixtures.goldens.appending(path: "qwen2_text_small").path
        let blind = try inspect("--image", Program.picture, "--json", model: text)
        #expect(blind.status == 1 && blind.errors.contains("text only"), "\(blind.errors)")
        let tiles = try inspect("--image", Program.picture, "--json", "--max-tiles", "4")
        #expect(tiles.status == 1 && tiles.errors.contains("tiles"), "\(tiles.errors)")
    }
}
