internal import Data
public import Media

/// Something in a picture whose place and looks are known, so that the features that stand for this place can be taught
/// directly. Places are parts of the picture's sides, from 0 to 1.
public struct PictureRegion: Sendable {
    public var box: Rectangle
    /// A class of `RegionClasses`.
    public var kind: Int
    /// A class of `RegionClasses`; nil where no colour is known.
    public var color: Int?
    /// What it stands for, as a bar in a chart does, or the label under one.
    public var value: Int?
    /// What is written there, where questions name something by it, as the label of a bar.
    public var name: String?
    /// For writing: what is written, and the middle of each character.
    public var characters: [(code: Int, middle: Point)]
    /// Lines of writing above this one; nil for what is no line, as the captions of a chart are not.
    public var line: Int?

    var isShape: Bool { kind > 0 && kind < RegionClasses.writing }
}

/// The classes that regions are told apart by. Class 0 is none in all of them.
enum RegionClasses {
    static let colors = SyntheticObject.colors.count + 1
    /// Shapes, then writing, then bars.
    static let kinds = SyntheticObject.shapes.count + 3
    static let writing = SyntheticObject.shapes.count + 1
    static let bar = SyntheticObject.shapes.count + 2
    /// Printable ASCII, and one for everything else.
    static let characters = 96
    static let values = 101

    static func character(_ character: Character) -> Int {
        guard let code = character.asciiValue, (33...126).contains(code) else { return characters - 1 }
        return Int(code) - 32
    }
}

extension SyntheticSample {
    /// All that is drawn in the picture and could be asked for.
    var regions: [PictureRegion] {
        let (width, height) = (Double(image.width), Double(image.height))
        let lines = metadata.objects.filter { $0.characters != nil }
        return (metadata.objects + metadata.captions).map { object in
            let shape = object.shape.flatMap { SyntheticObject.shapes.firstIndex(of: $0) }
            return PictureRegion(
                box: Rectangle(
                    x: object.box.x / width, y: object.box.y / height, width: object.box.width / width,
                    height: object.box.height / height),
                kind: shape.map { $0 + 1 } ?? (object.characters == nil ? RegionClasses.bar : RegionClasses.writing),
                color: object.color.flatMap { SyntheticObject.colors.firstIndex(of: $0) }.map { $0 + 1 },
                value: object.value, name: object.characters == nil || object.value == nil ? nil : object.label,
                characters: zip(object.label, object.characters ?? []).compactMap { character, place in
                    if character == " " { return nil }
                    // As high as its line is drawn, whatever the font's own height.
                    let middle = Point(place.center.x / width, object.box.center.y / height)
                    return (RegionClasses.character(character), middle)
                },
                line: lines.contains(object) ? lines.count { $0.box.y < object.box.y } : nil)
        }
    }
}
