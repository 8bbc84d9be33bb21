import Media

/// What a question that counts asks for: the objects of a colour, of a shape, of both, or all of them.
public enum CountSubject: String, Sendable, Codable, CodingKeyRepresentable, CaseIterable {
    case color
    case shape
    case kind
    case all
}

/// Counting the objects of a colour, a shape, a kind, or all of them.
enum CountTask {
    /// What is counted.
    enum Query: Hashable {
        case all
        case color(NamedColor)
        case shape(ShapeKind)
        case kind(ObjectKind)

        func matches(_ kind: ObjectKind) -> Bool {
            switch self {
            case .all: true
            case .color(let color): kind.color == color
            case .shape(let shape): kind.shape == shape
            case .kind(let wanted): kind == wanted
            }
        }

        func name(_ language: SyntheticLanguage) -> String {
            switch (self, language) {
            case (.all, .english): "objects"
            case (.all, .chinese): "物体"
            case (.color(let color), .english): "\(color.rawValue) objects"
            case (.color(let color), .chinese): color.chinese + "物体"
            case (.shape(let shape), .english): shape.plural
            case (.shape(let shape), .chinese): shape.chinese
            case (.kind(let kind), .english): "\(kind.color.rawValue) \(kind.shape.plural)"
            case (.kind(let kind), .chinese): kind.name(.chinese)
            }
        }
    }

    /// Objects for a question whose answer is `count`, with others around them.
    /// - Parameter weights: how often each subject is drawn, relative to the others.
    static func plan(
        count: Int, colors: [NamedColor], weights: [CountSubject: Double], using generator: inout SeededGenerator
    ) -> (Query, [ObjectKind]) {
        let color = generator.element(of: colors)
        let shape = generator.element(of: ShapeKind.allCases)
        let queries: [(Query, CountSubject)] = [
            (.color(color), .color), (.shape(shape), .shape), (.kind(ObjectKind(color: color, shape: shape)), .kind),
            (.all, .all),
        ]
        var drawn = queries.map { weights[$0.1, default: 0] }
        // Nothing at all would be an empty picture.
        if count == 0, drawn.dropLast().contains(where: { $0 > 0 }) { drawn[drawn.count - 1] = 0 }
        let query = queries[generator.index(weights: drawn)].0
        let others = query == .all ? 0 : generator.integer(count == 0 ? 1...6 : 0...max(1, min(6, 10 - count)))
        var kinds: [ObjectKind] = []
        func random() -> ObjectKind {
            ObjectKind(
                color: generator.element(of: colors), shape: generator.element(of: ShapeKind.allCases))
        }
        while kinds.count < count {
            var kind = random()
            switch query {
            case .all: break
            case .color(let color): kind.color = color
            case .shape(let shape): kind.shape = shape
            case .kind(let wanted): kind = wanted
            }
            kinds.append(kind)
        }
        while kinds.count < count + others {
            var kind = random()
            // Half of the others share the colour or the shape: what is counted must be looked at whole.
            if case .kind(let wanted) = query, generator.chance(0.5) {
                if generator.chance(0.5) { kind.color = wanted.color } else { kind.shape = wanted.shape }
            }
            if !query.matches(kind) { kinds.append(kind) }
        }
        return (query, kinds)
    }

    static func turn(_ query: Query, _ scene: Scene, using generator: inout SeededGenerator) -> SyntheticTurn {
        let phrases = query == .all ? Phrases.countAll : Phrases.count
        let places = scene.places(where: query.matches)
        return SyntheticTurn(
            task: .count, question: phrases.ask(scene.language, [query.name(scene.language)], using: &generator),
            answer: String(places.count), places: AnswerPlaces(things: [places]))
    }

    /// Questions about a scene that was made for something else, in an order of chance; the last one asks for what is
    /// mostly not there.
    static func queries(_ scene: Scene, using generator: inout SeededGenerator) -> [Query] {
        guard !scene.objects.isEmpty else { return [] }
        let kind = generator.element(of: scene.objects).kind
        let absent = ObjectKind(
            color: generator.element(of: NamedColor.allCases), shape: generator.element(of: ShapeKind.allCases))
        return generator.shuffled([.all, .color(kind.color), .shape(kind.shape), .kind(kind)]) + [.kind(absent)]
    }
}
