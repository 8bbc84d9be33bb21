public import Media

/// A box as Qwen2-VL writes it: integers in [0, 1000), relative to the picture's sides.
public struct GroundingBox: Sendable, Hashable, Codable {
    public let x1: Int
    public let y1: Int
    public let x2: Int
    public let y2: Int

    public init(x1: Int, y1: Int, x2: Int, y2: Int) {
        self.x1 = x1
        self.y1 = y1
        self.x2 = x2
        self.y2 = y2
    }

    /// A box in pixels of a picture of the given size.
    public init(_ box: Rectangle, width: Int, height: Int) {
        func scale(_ value: Double, _ side: Int) -> Int {
            max(0, min(999, Int((value / Double(side) * 1000).rounded())))
        }
        self.init(
            x1: scale(box.x, width), y1: scale(box.y, height), x2: scale(box.maxX, width), y2: scale(box.maxY, height))
    }

    /// In pixels of a picture of the given size.
    public func rectangle(width: Int, height: Int) -> Rectangle {
        let (scaleX, scaleY) = (Double(width) / 1000, Double(height) / 1000)
        return Rectangle(
            x: Double(x1) * scaleX, y: Double(y1) * scaleY, width: Double(x2 - x1) * scaleX,
            height: Double(y2 - y1) * scaleY)
    }

    /// `(x1,y1),(x2,y2)`
    public var text: String { "(\(x1),\(y1)),(\(x2),\(y2))" }

    /// The box with its marks, after the marked name of what is in it.
    public func marked(_ name: String) -> String {
        "<|object_ref_start|>\(name)<|object_ref_end|><|box_start|>\(text)<|box_end|>"
    }

    /// Area of the intersection over area of the union; 0 for a box with corners in the wrong order.
    public func intersectionOverUnion(_ other: GroundingBox) -> Double {
        guard x1 <= x2, y1 <= y2, other.x1 <= other.x2, other.y1 <= other.y2 else { return 0 }
        return rectangle(width: 1000, height: 1000).intersectionOverUnion(other.rectangle(width: 1000, height: 1000))
    }
}

/// A named box found in an answer.
public struct GroundedName: Sendable, Equatable {
    /// The text between the object marks before the box; nil where there are none.
    public let name: String?
    public let box: GroundingBox
}

/// How right answers are. All functions are pure.
public enum Scoring {
    /// Every box in an answer, in order. Marks may be missing (a decoder that skips special tokens drops them): any
    /// `(a,b),(c,d)` with integers below 1000 counts; anything else is passed over.
    public static func boxes(in answer: String) -> [GroundedName] {
        // Digits, brackets and commas are ASCII: bytes are enough, and quick.
        let bytes = Array(answer.utf8)
        var found: [GroundedName] = []
        var position = 0
        var searched = 0
        while position < bytes.count {
            guard bytes[position] == UInt8(ascii: "("), let (box, end) = box(in: bytes, at: position) else {
                position += 1
                continue
            }
            let before = String(decoding: bytes[searched..<position], as: UTF8.self)
            found.append(GroundedName(name: name(in: before), box: box))
            position = end
            searched = end
        }
        return found
    }

    private static func box(in bytes: [UInt8], at start: Int) -> (GroundingBox, Int)? {
        var position = start
        func accept(_ character: Character) -> Bool {
            while position < bytes.count, bytes[position] == UInt8(ascii: " ") { position += 1 }
            guard position < bytes.count, bytes[position] == character.asciiValue else { return false }
            position += 1
            return true
        }
        func number() -> Int? {
            while position < bytes.count, bytes[position] == UInt8(ascii: " ") { position += 1 }
            var value = 0
            var digits = 0
            while position < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[position]), digits < 4
            {
                value = value * 10 + Int(bytes[position] - UInt8(ascii: "0"))
                digits += 1
                position += 1
            }
            return (1...3).contains(digits) ? value : nil
        }
        guard accept("("), let x1 = number(), accept(","), let y1 = number(), accept(")"), accept(","),
            accept("("), let x2 = number(), accept(","), let y2 = number(), accept(")")
        else { return nil }
        return (GroundingBox(x1: x1, y1: y1, x2: x2, y2: y2), position)
    }

    private static func name(in text: String) -> String? {
        let pieces = text.split(separator: "<|object_ref_start|>", omittingEmptySubsequences: false)
        guard pieces.count > 1, let last = pieces.last else { return nil }
        let name = last.split(separator: "<|object_ref_end|>", omittingEmptySubsequences: false)
        return name.count > 1 ? String(name[0]) : nil
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
