import Media

/// How objects stand to one another: left, right, above, below.
enum RelationTask {
    private enum Side: CaseIterable {
        case left, right, above, below

        var opposite: Side {
            switch self {
            case .left: .right
            case .right: .left
            case .above: .below
            case .below: .above
            }
        }

        /// Larger the further an object lies to this side.
        func reach(_ box: Rectangle) -> Double {
            switch self {
            case .left: -box.center.x
            case .right: box.center.x
            case .above: -box.center.y
            case .below: box.center.y
            }
        }

        var isThere: Phrases {
            switch self {
            case .left: .leftOf
            case .right: .rightOf
            case .above: .above
            case .below: .below
            }
        }

        var further: Phrases {
            switch self {
            case .left: .furtherLeft
            case .right: .furtherRight
            case .above: .furtherUp
            case .below: .furtherDown
            }
        }

        var furthest: Phrases {
            switch self {
            case .left: .leftmost
            case .right: .rightmost
            case .above: .topmost
            case .below: .bottommost
            }
        }
    }

    /// Objects of different kinds, so that names are clear.
    static func plan(colors: [NamedColor], using generator: inout SeededGenerator) -> [ObjectKind] {
        let all = colors.flatMap { color in ShapeKind.allCases.map { ObjectKind(color: color, shape: $0) } }
        return Array(generator.shuffled(all).prefix(generator.integer(2...6)))
    }

    /// Two centres nearer than this, in pixels, are beside each other to the eye.
    private static func clearance(_ scene: Scene, _ side: Side) -> Double {
        let length = side == .left || side == .right ? scene.width : scene.height
        return max(16, 0.12 * Double(length))
    }

    /// Yes and no are equally likely; nil where the scene leaves every order unclear.
    static func turn(_ scene: Scene, using generator: inout SeededGenerator) -> SyntheticTurn? {
        let side = generator.element(of: Side.allCases)
        if generator.chance(0.25) { return furthest(side, scene, using: &generator) }
        let objects = generator.shuffled(scene.unique)
        for (index, first) in objects.enumerated() {
            for second in objects[(index + 1)...] {
                let lead = side.reach(first.box) - side.reach(second.box)
                guard abs(lead) >= clearance(scene, side) else { continue }
                let (near, far) = lead > 0 ? (second, first) : (first, second)
                return turn(side, far: far, near: near, scene, using: &generator)
            }
        }
        return nil
    }

    private static func turn(
        _ side: Side, far: SceneObject, near: SceneObject, _ scene: Scene, using generator: inout SeededGenerator
    ) -> SyntheticTurn {
        let language = scene.language
        let names = [far.kind.name(language), near.kind.name(language)]
        let about = [far, near].map { object in scene.places { $0 == object.kind } }
        if generator.chance(0.65) {
            let yes = generator.chance(0.5)
            return SyntheticTurn(
                task: .relation, question: (yes ? side : side.opposite).isThere.ask(language, names, using: &generator),
                answer: Phrases.yesNo(yes, language), places: AnswerPlaces(things: about))
        }
        let order = generator.shuffled([0, 1])
        return SyntheticTurn(
            task: .relation,
            question: side.further.ask(language, order.map { names[$0] }, using: &generator),
            answer: names[0], places: AnswerPlaces(things: order.map { about[$0] }))
    }

    private static func furthest(_ side: Side, _ scene: Scene, using generator: inout SeededGenerator) -> SyntheticTurn?
    {
        let ranked = scene.objects.sorted { side.reach($0.box) > side.reach($1.box) }
        guard ranked.count > 1, side.reach(ranked[0].box) - side.reach(ranked[1].box) >= clearance(scene, side) else {
            return nil
        }
        return SyntheticTurn(
            task: .relation, question: side.furthest.ask(scene.language, using: &generator),
            answer: ranked[0].kind.name(scene.language),
            places: AnswerPlaces(things: [scene.objects.indices.filter { scene.objects[$0].box == ranked[0].box }]))
    }
}
