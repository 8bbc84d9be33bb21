import Media
import Models

/// A drawn object of a scene.
struct SceneObject {
    let kind: ObjectKind
    let box: Rectangle
}

/// Coloured shapes on a ground, none touching another, each wholly inside of the picture.
struct Scene {
    let width: Int
    let height: Int
    let language: SyntheticLanguage
    /// In reading order: by upper edge, then by left edge, as their boxes are written.
    private(set) var objects: [SceneObject]

    /// The smallest extent of an object, in pixels.
    static let smallestObject = 18.0

    /// Kinds in the scene and how often each occurs.
    var counts: [ObjectKind: Int] { objects.reduce(into: [:]) { $0[$1.kind, default: 0] += 1 } }

    /// Objects whose name fits nothing else in the scene, in reading order.
    var unique: [SceneObject] {
        let counts = counts
        return objects.filter { counts[$0.kind] == 1 }
    }

    /// Draws objects of the given kinds on the canvas, in an order of no importance; the ground is already there.
    ///
    /// Where the picture is too full for a kind it is left out, so `objects` is the truth and `kinds` the wish.
    init(
        kinds: [ObjectKind], language: SyntheticLanguage, on canvas: Canvas, using generator: inout SeededGenerator
    ) {
        width = canvas.width
        height = canvas.height
        self.language = language
        objects = []
        let room = (Double(width * height) / Double(max(kinds.count, 1))).squareRoot()
        let shortest = Double(min(width, height))
        let largest = max(Self.smallestObject + 4, min(0.62 * room, 0.42 * shortest, 84))
        let outlined = generator.chance(0.25)
        for kind in kinds {
            guard let placed = place(kind, largest: largest, outlined: outlined, using: &generator) else { continue }
            let shade = kind.color.shade(using: &generator)
            draw(placed.path, shade: shade, outline: outlined, on: canvas, using: &generator)
            objects.append(SceneObject(kind: kind, box: placed.box))
        }
        let boxes = objects.map { GroundingBox($0.box, width: canvas.width, height: canvas.height) }
        objects = zip(objects, boxes).sorted { ($0.1.y1, $0.1.x1) < ($1.1.y1, $1.1.x1) }.map(\.0)
    }

    /// Tries places and ever smaller sizes until the object touches no other.
    private func place(
        _ kind: ObjectKind, largest: Double, outlined: Bool, using generator: inout SeededGenerator
    ) -> (path: Path, box: Rectangle)? {
        let rotation = generator.uniform(-kind.shape.turn...kind.shape.turn)
        let unit = kind.shape.path.bounds
        let smallest = Self.smallestObject / min(unit.width, unit.height)
        var size = generator.uniform(smallest...max(smallest, largest))
        let margin = outlined ? 0.75 : 0
        for attempt in 0..<120 {
            if attempt % 10 == 9 { size = max(smallest, size * 0.85) }
            let shape = kind.shape.path.transformed(scaleX: size, scaleY: size, rotation: rotation)
            let bounds = shape.bounds
            let (spareX, spareY) = (Double(width) - bounds.width - 4, Double(height) - bounds.height - 4)
            guard spareX > 0, spareY > 0 else { continue }
            let x = 2 + generator.uniform(0...spareX) - bounds.x
            let y = 2 + generator.uniform(0...spareY) - bounds.y
            let box = bounds.offsetBy(x: x, y: y).insetBy(-margin)
            let guarded = box.insetBy(-3)
            if objects.allSatisfy({ !$0.box.intersects(guarded) }) {
                return (shape.transformed(x: x, y: y), box)
            }
        }
        return nil
    }

    private func draw(
        _ path: Path, shade: Color, outline: Bool, on canvas: Canvas, using generator: inout SeededGenerator
    ) {
        let bounds = path.bounds
        let paint: Paint =
            generator.chance(0.2)
            ? .linear(
                from: Point(bounds.x, bounds.y), to: Point(bounds.maxX, bounds.maxY),
                [shade, shade.mixed(with: .black, 0.12)]) : .color(shade)
        canvas.fill(path, paint, evenOdd: true)
        if outline {
            let edge = shade.luma > 0.25 ? shade.mixed(with: .black, 0.5) : shade.mixed(with: .white, 0.45)
            canvas.stroke(path, .color(edge), lineWidth: 1.5)
        }
    }

    /// The box of an object as answers write it.
    func grounding(_ object: SceneObject) -> String {
        GroundingBox(object.box, width: width, height: height).marked(object.kind.name(language))
    }

    /// The places of objects in the list, for those of a kind.
    func places(where matches: (ObjectKind) -> Bool) -> [Int] { objects.indices.filter { matches(objects[$0].kind) } }

    /// The objects for a sample's metadata.
    var truth: [SyntheticObject] {
        objects.map { object in
            SyntheticObject(
                label: object.kind.name(language), box: object.box, color: object.kind.color.rawValue,
                shape: object.kind.shape.rawValue)
        }
    }
}
