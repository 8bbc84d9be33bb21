public import Media

/// A box as models write it: integers in [0, 1000) relative to the picture's sides, whatever size the model saw it at
/// (Qwen-VL, Qwen2-VL, NVLM; InternVL2 goes up to 1000 itself).
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

    /// The box with Qwen2-VL's marks, after the marked name of what is in it.
    public func marked(_ name: String) -> String { GroundingStyle.qwen2VL.text(name: name, box: self) }

    /// Area of the intersection over area of the union; 0 for a box with corners in the wrong order.
    public func intersectionOverUnion(_ other: GroundingBox) -> Double {
        guard x1 <= x2, y1 <= y2, other.x1 <= other.x2, other.y1 <= other.y2 else { return 0 }
        return rectangle(width: 1000, height: 1000).intersectionOverUnion(other.rectangle(width: 1000, height: 1000))
    }
}

/// How a family writes places.
public enum GroundingStyle: Sendable, Hashable, CaseIterable {
    /// `<ref>name</ref><box>(x1,y1),(x2,y2)</box>` (Qwen-VL, NVLM)
    case qwenVL
    /// `<|object_ref_start|>name<|object_ref_end|><|box_start|>(x1,y1),(x2,y2)<|box_end|>`
    case qwen2VL
    /// `<ref>name</ref><box>[[x1, y1, x2, y2]]</box>`
    case internVL2

    public func text(name: String, box: GroundingBox) -> String {
        switch self {
        case .qwenVL: "<ref>\(name)</ref><box>\(box.text)</box>"
        case .qwen2VL: "<|object_ref_start|>\(name)<|object_ref_end|><|box_start|>\(box.text)<|box_end|>"
        case .internVL2: "<ref>\(name)</ref><box>[[\(box.x1), \(box.y1), \(box.x2), \(box.y2)]]</box>"
        }
    }
}
