import Media

/// Where an object is, and the list of all.
enum BoxTask {
    static func turn(_ scene: Scene, using generator: inout SeededGenerator) -> SyntheticTurn? {
        let unique = scene.unique
        guard !unique.isEmpty else { return nil }
        let object = generator.element(of: unique)
        return SyntheticTurn(
            task: .box,
            question: Phrases.box.ask(scene.language, [object.kind.name(scene.language)], using: &generator),
            answer: scene.grounding(object), places: AnswerPlaces(things: [scene.places { $0 == object.kind }]))
    }

    /// Every object with its box, by upper edge and then by left edge.
    static func describe(_ scene: Scene, using generator: inout SeededGenerator) -> SyntheticTurn {
        SyntheticTurn(
            task: .describe, question: Phrases.describe.ask(scene.language, using: &generator),
            answer: scene.objects.map(scene.grounding).joined(separator: AnswerPlaces.listSeparator),
            places: AnswerPlaces(lists: scene.objects.indices.map { [$0] }))
    }
}
