import Media

/// The colour of a shape, the shape of a colour.
enum AttributeTask {
    /// A target whose shape occurs once, among others.
    static func planColor(of color: NamedColor, colors: [NamedColor], using generator: inout SeededGenerator)
        -> [ObjectKind]
    {
        let target = ObjectKind(color: color, shape: generator.element(of: ShapeKind.allCases))
        let shapes = ShapeKind.allCases.filter { $0 != target.shape }
        let others = (0..<generator.integer(0...5)).map { _ in
            ObjectKind(color: generator.element(of: colors), shape: generator.element(of: shapes))
        }
        return [target] + others
    }

    /// A target whose colour occurs once, among others.
    static func planShape(colors: [NamedColor], using generator: inout SeededGenerator) -> [ObjectKind] {
        let target = ObjectKind(
            color: generator.element(of: colors), shape: generator.element(of: ShapeKind.allCases))
        let rest = colors.filter { $0 != target.color }
        guard !rest.isEmpty else { return [target] }
        let others = (0..<generator.integer(0...5)).map { _ in
            ObjectKind(color: generator.element(of: rest), shape: generator.element(of: ShapeKind.allCases))
        }
        return [target] + others
    }

    static func color(of target: ObjectKind, _ scene: Scene, using generator: inout SeededGenerator) -> SyntheticTurn? {
        guard scene.objects.count(where: { $0.kind.shape == target.shape }) == 1,
            scene.objects.contains(where: { $0.kind == target })
        else { return nil }
        return SyntheticTurn(
            task: .color,
            question: Phrases.color.ask(scene.language, [target.shape.name(scene.language)], using: &generator),
            answer: target.color.name(scene.language), places: AnswerPlaces(things: [scene.places { $0 == target }]))
    }

    static func shape(of target: ObjectKind, _ scene: Scene, using generator: inout SeededGenerator) -> SyntheticTurn? {
        guard scene.objects.count(where: { $0.kind.color == target.color }) == 1,
            scene.objects.contains(where: { $0.kind == target })
        else { return nil }
        return SyntheticTurn(
            task: .shape,
            question: Phrases.shape.ask(scene.language, [target.color.name(scene.language)], using: &generator),
            answer: target.shape.name(scene.language), places: AnswerPlaces(things: [scene.places { $0 == target }]))
    }
}
