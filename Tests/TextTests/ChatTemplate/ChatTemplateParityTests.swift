import Foundation
import Testing

@testable import Text

/// Cases made with jinja2: one JSON object a line with `template`, `context` and `rendered` or `error`. A line without a
/// template gives the context of the lines after it.
struct TemplateCases {
    var url: URL

    static let checkout = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    /// Renders every case; gives how many there are and what went wrong.
    func run() throws -> (count: Int, failures: [String]) {
        var count = 0
        var failures: [String] = []
        var shared = OrderedJSON.object([])
        for line in try Data(contentsOf: url).split(separator: UInt8(ascii: "\n")) {
            let json = try OrderedJSON(parsing: line)
            guard var source = json["template"]?.string else {
                shared = try #require(json["context"])
                continue
            }
            if source.hasPrefix("styles/") {
                let file = url.deletingLastPathComponent().appending(path: source)
                source = try String(contentsOf: file, encoding: .utf8)
            }
            let name = json["name"]?.string ?? "line \(count + 1)"
            guard case .dictionary(let context) = TemplateValue(json: json["context"] ?? shared) else { continue }
            count += 1
            let result = Result { try ChatTemplate(source, name: name).render(context).string }
            switch (json["rendered"]?.string, result) {
            // Compared as bytes: `==` of strings overlooks differences in normalisation.
            case (let expected?, .success(let text)) where expected.utf8.elementsEqual(text.utf8): break
            case (nil, .failure): break
            case (let expected, _):
                failures.append(
                    "\(name): \(source.debugDescription)\n  want \(expected.debugDescription)\n  have \(result)")
            }
        }
        return (count, failures)
    }
}

@Suite struct ChatTemplateParityTests {
    @Test(arguments: ["language", "styles"]) func rendersAsJinja(name: String) throws {
        let folder = TemplateCases.checkout.appending(path: "Tests/Goldens/chat_templates")
        try check(folder.appending(path: name + ".jsonl"), atLeast: 140)
    }

    /// The fixtures beside the checkout; a work tree may lie one folder deeper.
    @Test func rendersTheSharedFixtures() throws {
        let above = TemplateCases.checkout.deletingLastPathComponent()
        for folder in [above, above.deletingLastPathComponent()] {
            let file = folder.appending(path: "shared/fixtures/chat_templates/chat_templates.jsonl")
            if FileManager.default.fileExists(atPath: file.path) { return try check(file, atLeast: 100) }
        }
        print("skipped: no shared/fixtures/chat_templates beside the checkout")
    }

    /// More cases to compare while working on the engine: a path in the variable `OMMA_TEMPLATE_CASES`.
    @Test func rendersMoreCases() throws {
        guard let path = ProcessInfo.processInfo.environment["OMMA_TEMPLATE_CASES"] else { return }
        try check(URL(filePath: path), atLeast: 1)
    }

    private func check(_ file: URL, atLeast least: Int) throws {
        let (count, failures) = try TemplateCases(url: file).run()
        #expect(count >= least)
        let report = failures.prefix(60).joined(separator: "\n")
        #expect(failures.isEmpty, "\(failures.count) of \(count) in \(file.lastPathComponent):\n\(report)")
    }
}
