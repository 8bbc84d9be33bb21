internal import Data
internal import Media
internal import Models
internal import Serving
internal import Text

/// Boxes in an answer, in the pixels of the picture that they belong to.
enum Grounding {
    /// Nil where the answer holds no marked boxes.
    ///
    /// A box belongs to the picture that the answer named last before it (`Picture 2`, `image 2`, counted from 1 over the
    /// whole conversation, as templates number them), and to the conversation's last picture where it named none.
    static func boxes(_ summary: AnswerSummary, _ items: [VisualItem]) -> OrderedJSON? {
        boxes(in: summary.markedText, sizes: items.map { ($0.originalWidth, $0.originalHeight) })
    }

    static func boxes(in text: String, sizes: [(width: Int, height: Int)]) -> OrderedJSON? {
        guard !sizes.isEmpty, text.contains("<|box_start|>") || text.contains("<box>") else { return nil }
        var boxes: [OrderedJSON] = []
        for (part, named) in parts(of: text) {
            let index = named.map { $0 - 1 }.flatMap { sizes.indices.contains($0) ? $0 : nil } ?? sizes.count - 1
            boxes += Scoring.boxes(in: String(part)).map { found in
                let place = found.box.rectangle(width: sizes[index].width, height: sizes[index].height)
                return [
                    "label": OrderedJSON(found.name), "x1": .double(place.x), "y1": .double(place.y),
                    "x2": .double(place.maxX), "y2": .double(place.maxY), "image": .int(index),
                ]
            }
        }
        return boxes.isEmpty ? nil : .array(boxes)
    }

    /// The text cut before each mention of a picture, with the number of the picture that is spoken of.
    private static func parts(of text: String) -> [(text: Substring, picture: Int?)] {
        var parts: [(Substring, Int?)] = [], start = text.startIndex, picture: Int?
        for match in text.matches(of: /\b(?:[Pp]icture|[Ii]mage|[Pp]hoto)[ -]?(\d{1,4})\b/) {
            parts.append((text[start..<match.range.lowerBound], picture))
            start = match.range.lowerBound
            picture = Int(match.1)
        }
        return parts + [(text[start...], picture)]
    }
}
