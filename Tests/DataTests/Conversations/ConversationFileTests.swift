import Data
import Foundation
import Media
import Models
import TestSupport
import Testing

@Suite("Files of conversations") struct ConversationFileTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func file(_ text: String, unmarked: UnmarkedPictures = .error) throws -> ConversationFile {
        let url = folder.url.appendingPathComponent("\(UUID().uuidString)data.jsonl")
        try Data(text.utf8).write(to: url)
        return try ConversationFile(url, unmarked: unmarked)
    }

    private func picture(_ name: String, gray: UInt8) throws {
        let image = Image(width: 3, height: 2, red: gray, green: gray, blue: gray)
        try Data(image.pngData(level: 1)).write(to: folder.url.appendingPathComponent(name))
    }

    @Test(
        "Each format gives the same turns",
        arguments: [
            #"{"messages":[{"role":"user","content":"<image>What?\n"},{"role":"assistant","content":"<image> yes"}],"images":["a.png"]}"#,
            #"{"conversations":[{"from":"human","value":"<image>What?\n"},{"from":"gpt","value":"<image> yes"}],"image":"a.png"}"#,
            """
            {"messages":[{"role":"user","content":[{"type":"image","image":"a.png"},{"type":"text","text":"What?\\n"}]},\
            {"role":"assistant","content":[{"type":"text","text":"<image> yes"}]}]}
            """,
            """
            {"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"a.png"}},"What?\\n"]},\
            {"role":"assistant","content":"<image> yes"}]}
            """,
        ])
    func formats(line: String) throws {
        let row = try file(line).row(at: 0)
        #expect(
            row.turns == [
                .init(.user, [.image("a.png"), .text("What?\n")]), .init(.assistant, [.text("<image> yes")]),
            ])
    }

    @Test func aListIsReadLikeLines() throws {
        let one = #"{"id":7,"conversations":[{"from":"human","value":"a ] \" } b"},{"from":"gpt","value":"{["}]}"#
        let list = try file("[\n  \(one),\n \(one)\n]")
        #expect(list.count == 2)
        #expect(try list.row(at: 1) == file(one).row(at: 0))
        #expect(try list.row(at: 1).id == "7")
        #expect(throws: ConversationFileError.self) { try file("[\(one), {\"conv") }
    }

    @Test func picturesStandWhereTheMarksAre() throws {
        try picture("a.png", gray: 10)
        try picture("b.png", gray: 200)
        let data = try file(
            #"{"messages":[{"role":"user","content":"x<image>y"},{"role":"assistant","content":"1"},{"role":"user","content":"<image>z"},{"role":"assistant","content":"2"}],"images":["a.png","b.png"]}"#
        )
        let conversation = try data.conversation(at: 0, sampling: nil)
        #expect(
            conversation[0].parts == [
                .text("x"), .image(Image(width: 3, height: 2, red: 10, green: 10, blue: 10)), .text("y"),
            ])
        #expect(
            conversation[2].parts == [
                .image(Image(width: 3, height: 2, red: 200, green: 200, blue: 200)), .text("z"),
            ])
        #expect(data.problems().isEmpty)
    }

    @Test func unmarkedPicturesFollowThePolicy() throws {
        let line =
            #"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"images":["a.png"]}"#
        #expect(try file(line, unmarked: .prepend).row(at: 0).turns[0].parts == [.image("a.png"), .text("q")])
        #expect(try file(line, unmarked: .drop).row(at: 0).images.isEmpty)
        let error = #expect(throws: ConversationFileError.self) { try file(line).row(at: 0) }
        #expect(error?.description.contains("data.jsonl:1: has 1 image(s) and no <image> mark") == true)
    }

    @Test func allProblemsAreFoundWithTheirLines() throws {
        try picture("a.png", gray: 10)
        try Data("no picture".utf8).write(to: folder.url.appendingPathComponent("text.jpg"))
        func line(_ content: String, _ images: String) -> String {
            #"{"messages":[{"role":"user","content":"\#(content)"},{"role":"assistant","content":"a"}],"images":[\#(images)]}"#
        }
        let lines = [
            line("<image>", #""a.png""#), "{", line("<image><image>", #""a.png""#), "", line("<image>", #""none.png""#),
            line("<image>", #""text.jpg""#), #"{"text": 1}"#, #"{"messages":[{"role":"user","content":"q"}]}"#,
            #"{"messages":[{"role":"narrator","content":"q"}]}"#, line("<image>", #""https://example.com/a.png""#),
            line("<image>", #""data:image/png;base64,AAAA""#), line("<image>", "3"), line("q", ""),
        ]
        let problems = try file(lines.joined(separator: "\n")).problems()
        #expect(problems.map(\.row) == [2, 3, 5, 6, 7, 8, 9, 10, 11, 12])
        #expect(problems[2].reason.contains("none.png"))
        #expect(problems[3].reason.contains("text.jpg"))
        #expect(problems[4].reason.contains("it has text"))
    }

    @Test func dataURLsHoldPictures() throws {
        let image = Image(width: 3, height: 2, red: 9, green: 8, blue: 7)
        let url = "data:image/png;base64,\(Data(try image.pngData(level: 1)).base64EncodedString())"
        let data = try file(
            #"{"messages":[{"role":"user","content":"<image>"},{"role":"assistant","content":"a"}],"images":["\#(url)"]}"#
        )
        #expect(try data.conversation(at: 0, sampling: nil)[0].parts == [.image(image)])
    }

    @Test func aFileThatBecomesShorterIsAnError() throws {
        let line = #"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}"#
        let data = try file(line + "\r\n\n" + line)
        #expect(data.count == 2 && data.line(of: 1) == 3)
        try FileHandle(forWritingTo: data.url).truncate(atOffset: 20)
        #expect(throws: ConversationFileError.self) { try data.row(at: 1) }
    }

    @Test func nothingIsAnError() throws {
        #expect(throws: ConversationFileError.self) { try file("\n \n") }
        #expect(throws: ConversationFileError.self) {
            try ConversationFile(folder.url.appendingPathComponent("missing.jsonl"))
        }
    }
}
