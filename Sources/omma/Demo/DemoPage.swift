import Data
import Evaluation
import Foundation
import Models

/// The demo's page: one file with everything in it, pictures included, so that it can be moved and sent.
struct DemoPage {
    let model: String
    let seed: UInt64
    let results: [DemoResult]

    /// Marks of places, told apart in either colour scheme.
    private static let colours = ["#e8483f", "#1f8fff", "#16a34a", "#c026d3", "#d97706", "#0891b2"]

    var html: String {
        let right = results.count { $0.isRight }
        return """
            <!doctype html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="color-scheme" content="light dark">
            <title>Omma demo: \(right) of \(results.count) right</title>
            <style>\(DemoStyle.css)</style>
            </head>
            <body>
            <header>
            <h1>Omma</h1>
            <p>Fresh pictures, one question each, answered by <b>\(HTMLText.escaped(model))</b>.</p>
            <p class="score"><b>\(right)</b> of \(results.count) right</p>
            </header>
            <main>
            \(results.map(card).joined(separator: "\n"))
            </main>
            <footer>
            <p>Drawn with seed <b>\(seed)</b>; <code>omma demo --seed \(seed)</code> asks the same again. The pictures are of \
            the held-out split, which training never sees. Places are in thousandths of the picture's \
            sides; dashes show the true ones.</p>
            </footer>
            </body>
            </html>

            """
    }

    private func card(_ result: DemoResult) -> String {
        let language = result.language == .chinese ? " lang=\"zh\"" : ""
        let mark =
            result.isRight
            ? "<span class=\"mark right\" title=\"right\">✓ right</span>"
            : "<span class=\"mark wrong\" title=\"wrong\">✗ wrong</span>"
        let truth = """
            <dt>Truth</dt><dd\(language)>\(text(result.truth, hasSwatches: false))</dd>
            """
        return """
            <article class="\(result.isRight ? "right" : "wrong")">
            <div class="stage"><div class="picture" style="--w:\(result.width);--h:\(result.height)">
            <img alt="picture of the task \(result.task.rawValue)" src="data:image/png;base64,\
            \(Data(result.png).base64EncodedString())">
            \(overlay(result))</div></div>
            <div class="words">
            <p class="tags"><span class="task">\(result.task.rawValue)</span>\(mark)</p>
            <h2\(language)>\(HTMLText.escaped(result.question))</h2>
            <dl><dt>Answer</dt><dd class="answer"\(language)>\(text(result.answer, hasSwatches: true))</dd>
            \(result.isRight && !Self.hasBoxes(result.truth) ? "" : truth)</dl>
            </div>
            </article>
            """
    }

    private static func hasBoxes(_ text: String) -> Bool { !Scoring.boxes(in: text).isEmpty }

    /// The places that the answer names, over the truth's in dashes.
    private func overlay(_ result: DemoResult) -> String {
        let answered = Scoring.boxes(in: result.answer), truths = Scoring.boxes(in: result.truth)
        guard !answered.isEmpty || !truths.isEmpty else { return "" }
        func rectangle(_ box: GroundingBox, _ attributes: String) -> String {
            "<rect x=\"\(min(box.x1, box.x2))\" y=\"\(min(box.y1, box.y2))\" width=\"\(abs(box.x2 - box.x1))\" "
                + "height=\"\(abs(box.y2 - box.y1))\" \(attributes)/>"
        }
        let shapes =
            truths.map { rectangle($0.box, "class=\"truth-edge\"") + rectangle($0.box, "class=\"truth\"") }
            + answered.enumerated().map { rectangle($1.box, "class=\"found\" stroke=\"\(Self.colour($0))\"") }
        return "<svg viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\" aria-hidden=\"true\">"
            + shapes.joined() + "</svg>"
    }

    private static func colour(_ index: Int) -> String { colours[index % colours.count] }

    /// Named places as a list with the colours of the overlay, everything else as it is.
    private func text(_ answer: String, hasSwatches: Bool) -> String {
        let boxes = Scoring.boxes(in: answer)
        guard !boxes.isEmpty else {
            let plain = HTMLText.escaped(DemoResult.plain(answer))
            return plain.isEmpty ? "<i>nothing</i>" : plain
        }
        // Many places are told by the overlay; their numbers would only bury the names.
        let isShort = boxes.count <= 2
        let items = boxes.enumerated().map { index, item in
            let swatch = hasSwatches ? "<i class=\"swatch\" style=\"background:\(Self.colour(index))\"></i>" : ""
            let name = item.name.map { HTMLText.escaped($0) } ?? (isShort ? "" : "\(index + 1)")
            let place = isShort ? " <code>\(item.box.text)</code>" : ""
            return "<li title=\"\(item.box.text)\">\(swatch)\(name)\(place)</li>"
        }
        return "<ul\(isShort ? "" : " class=\"many\"")>\(items.joined())</ul>"
    }
}
