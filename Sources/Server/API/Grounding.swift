internal import Data
internal import Media
internal import Models
internal import Serving
internal import Text

/// Boxes in an answer, in the pixels of the picture that they belong to.
enum Grounding {
    /// Nil where the answer holds no marked boxes. They are taken to be in the last picture.
    static func boxes(_ summary: AnswerSummary, _ items: [VisualItem]) -> OrderedJSON? {
        guard summary.markedText.contains("<|box_start|>"), let index = items.indices.last else { return nil }
        let (width, height) = (items[index].originalWidth, items[index].originalHeight)
        let boxes = Scoring.boxes(in: summary.markedText).map { found -> OrderedJSON in
            let place = found.box.rectangle(width: width, height: height)
            return [
                "label": OrderedJSON(found.name), "x1": .double(place.x), "y1": .double(place.y),
                "x2": .double(place.maxX), "y2": .double(place.maxY), "image": .int(index),
            ]
        }
        return boxes.isEmpty ? nil : .array(boxes)
    }
}
