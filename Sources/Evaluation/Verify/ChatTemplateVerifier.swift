import Foundation
import Goldens
import Text

/// Renderings of chat templates in `*.jsonl`: an object a line with `template`, `context`, and `rendered` or `error`.
///
/// A line without a template gives the context of the lines after it, and a template may be the path of a file.
struct ChatTemplateVerifier: FolderVerifier {
    static let kind = "chat templates"

    static func matches(_ contents: GoldenContents) -> Bool {
        files(contents).contains { file in
            guard let line = try? firstLine(contents.path(file)) else { return false }
            return line["template"] != nil || line["context"] != nil
        }
    }

    private static func files(_ contents: GoldenContents) -> [String] {
        contents.names.filter { $0.hasSuffix(".jsonl") }
    }

    private static func firstLine(_ path: String) throws -> OrderedJSON {
        let data = try Data(contentsOf: URL(filePath: path), options: .mappedIfSafe)
        return try OrderedJSON(parsing: data.prefix { $0 != UInt8(ascii: "\n") })
    }

    static func verify(_ contents: GoldenContents, _ report: inout VerifyReport) throws {
        for file in files(contents) {
            let data = try Data(contentsOf: contents.url.appending(path: file))
            var shared = OrderedJSON.object([])
            for (number, line) in data.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
                .enumerated()
            where !line.allSatisfy({ $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\r") }) {
                let place = "\(file):\(number + 1)"
                let json: OrderedJSON
                do { json = try OrderedJSON(parsing: line) } catch {
                    report.add(place, holds: false, "is not JSON: \(error)")
                    continue
                }
                guard let source = json["template"]?.string else {
                    shared = json["context"] ?? shared
                    continue
                }
                let name = json["name"]?.string ?? place
                report.lines.append(
                    compare(name, try template(source, contents), json, context: json["context"] ?? shared))
            }
        }
    }

    /// A template, or the one in a file of the folder that the line names.
    private static func template(_ source: String, _ contents: GoldenContents) throws -> String {
        guard source.hasSuffix(".jinja"), !source.contains("\n"), !source.contains("..") else { return source }
        return try String(contentsOf: contents.url.appending(path: source), encoding: .utf8)
    }

    private static func compare(
        _ name: String, _ source: String, _ golden: OrderedJSON, context: OrderedJSON
    ) -> VerifyReport.Line {
        func line(_ holds: Bool, _ note: String) -> VerifyReport.Line {
            VerifyReport.Line(name: name, holds: holds, difference: nil, allowed: nil, note: holds ? "" : note)
        }
        guard case .dictionary(let variables) = TemplateValue(json: context) else {
            return line(false, "the golden's context is no object")
        }
        let expected = golden["rendered"]?.string
        do {
            let text = try ChatTemplate(source, name: name).render(variables).string
            guard let expected else { return line(false, "is \(text.debugDescription), the golden an error") }
            return line(text.utf8.elementsEqual(expected.utf8), difference(text, expected))
        } catch {
            return line(expected == nil, "\(error); the golden \(expected.debugDescription)")
        }
    }
}
