public import Models

/// A named box found in an answer.
public struct GroundedName: Sendable, Equatable {
    /// The text between the object marks before the box; nil where there are none.
    public let name: String?
    public let box: GroundingBox
}

/// How right answers are. All functions are pure.
public enum Scoring {
    /// Every box in an answer, in order; see `GroundedRegion.all(in:)`.
    public static func boxes(in answer: String) -> [GroundedName] {
        GroundedRegion.all(in: answer).compactMap { region in
            guard case .box(let box) = region.shape else { return nil }
            return GroundedName(name: region.name, box: box)
        }
    }

    /// Whether two answers are the same but for white space at the ends and a final full stop.
    public static func exactMatch(_ prediction: String, _ truth: String) -> Bool {
        trimmed(prediction) == trimmed(truth)
    }

    private static func trimmed(_ text: String) -> Substring {
        var text = text[...]
        while text.first?.isWhitespace == true { text.removeFirst() }
        while let last = text.last, last.isWhitespace || last == "." || last == "。" { text.removeLast() }
        return text
    }

    /// Levenshtein distance in characters.
    public static func editDistance(_ first: String, _ second: String) -> Int {
        let (first, second) = (Array(first), Array(second))
        var row = Array(0...second.count)
        for (i, left) in first.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, right) in second.enumerated() {
                let cost = min(diagonal + (left == right ? 0 : 1), row[j] + 1, row[j + 1] + 1)
                diagonal = row[j + 1]
                row[j + 1] = cost
            }
        }
        return row[second.count]
    }

    /// The part of truth boxes that predictions of the same name (or without a name) cover with IoU above `threshold`,
    /// and the part of predictions that cover a truth; each box is used once.
    public static func matchBoxes(_ predicted: [GroundedName], _ truth: [GroundedName], threshold: Double = 0.5)
        -> (recall: Double, precision: Double)
    {
        var free = predicted
        var matched = 0
        for wanted in truth {
            let candidates = free.enumerated().filter {
                ($0.element.name == nil || wanted.name == nil || $0.element.name == wanted.name)
                    && $0.element.box.intersectionOverUnion(wanted.box) > threshold
            }
            let best = candidates.max {
                $0.element.box.intersectionOverUnion(wanted.box) < $1.element.box.intersectionOverUnion(wanted.box)
            }
            if let best {
                free.remove(at: best.offset)
                matched += 1
            }
        }
        func share(_ count: Int) -> Double { count == 0 ? 1 : Double(matched) / Double(count) }
        return (share(truth.count), share(predicted.count))
    }

    /// Whether an answer to a question of the given task is right: every box with IoU above 0.5 for `box` and
    /// `describe` (with the right names, and none too many), the same words otherwise.
    public static func isCorrect(_ prediction: String, _ truth: String, task: SyntheticTask) -> Bool {
        let wanted = boxes(in: truth)
        guard task == .box || task == .describe, !wanted.isEmpty else { return exactMatch(prediction, truth) }
        let (recall, precision) = matchBoxes(boxes(in: prediction), wanted)
        return recall == 1 && precision == 1
    }
}

/// Character error rate over many lines: edits needed divided by characters wanted.
public struct CharacterErrorRate: Sendable, Equatable {
    public private(set) var edits = 0
    public private(set) var characters = 0

    public init() {}

    public mutating func add(prediction: String, truth: String) {
        edits += Scoring.editDistance(prediction, truth)
        characters += truth.count
    }

    /// 0 when everything was read right; may exceed 1 when far too much was written. 0 before the first line.
    public var value: Double { characters == 0 ? 0 : Double(edits) / Double(characters) }
}
