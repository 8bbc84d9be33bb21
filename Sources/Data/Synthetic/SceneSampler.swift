import Media

/// Draws a scene for a task and asks about it.
struct SceneSampler {
    let options: SyntheticOptions
    let language: SyntheticLanguage

    /// Nil when the picture came out too full or too even for the task; the caller tries again.
    func sample(_ task: SyntheticTask, using generator: inout SeededGenerator) throws -> Drawn? {
        let count = task == .count ? generator.integer(0...min(9, options.maxObjects)) : 0
        let color = generator.element(of: NamedColor.allCases)
        let backdrop = Backdrop(difficulty: options.difficulty, showing: color, using: &generator)
        let colors = backdrop.visibleColors
        var query: CountTask.Query?
        var kinds: [ObjectKind]
        switch task {
        case .count:
            let plan = CountTask.plan(
                count: count, colors: colors, weights: options.counted ?? SyntheticOptions.defaultCounted,
                using: &generator)
            (query, kinds) = (plan.0, plan.1)
        case .color: kinds = AttributeTask.planColor(of: color, colors: colors, using: &generator)
        case .shape: kinds = AttributeTask.planShape(colors: colors, using: &generator)
        case .relation: kinds = RelationTask.plan(colors: colors, using: &generator)
        case .box, .describe, .text, .chart, .clock: kinds = mixture(colors: colors, using: &generator)
        }
        // What the question is about comes first.
        kinds.removeLast(max(0, kinds.count - max(options.maxObjects, task == .relation ? 2 : 1)))
        let canvas = try canvas(for: kinds.count, using: &generator)
        backdrop.paint(on: canvas, using: &generator)
        backdrop.clutter(on: canvas, using: &generator)
        // Targets come first in a plan: placed in any other order, a full picture would drop them more often.
        let scene = Scene(kinds: kinds, language: language, on: canvas, using: &generator)
        guard scene.objects.count == kinds.count || task == .describe, let target = kinds.first else { return nil }

        let first: SyntheticTurn?
        switch task {
        case .count: first = query.map { CountTask.turn($0, scene, using: &generator) }
        case .color: first = AttributeTask.color(of: target, scene, using: &generator)
        case .shape: first = AttributeTask.shape(of: target, scene, using: &generator)
        case .relation: first = RelationTask.turn(scene, using: &generator)
        case .box: first = BoxTask.turn(scene, using: &generator)
        case .describe, .text, .chart, .clock: first = BoxTask.describe(scene, using: &generator)
        }
        guard let first else { return nil }
        let turns =
            options.turns == .single
            ? [first] : conversation(first, counted: query, scene, using: &generator)
        let image = try backdrop.finish(canvas, using: &generator)
        return Drawn(image: image, turns: turns, objects: scene.truth, font: nil)
    }

    /// A picture large enough that all objects find room.
    private func canvas(for objects: Int, using generator: inout SeededGenerator) throws -> Canvas {
        let wanted = min(objects * 2300, options.sides.upperBound * options.sides.upperBound * 2 / 3)
        var (width, height) = (generator.integer(options.sides), generator.integer(options.sides))
        while width * height < wanted {
            (width, height) = (generator.integer(options.sides), generator.integer(options.sides))
        }
        return try Canvas(width: width, height: height)
    }

    /// One to nine objects: all different, or with one kind several times.
    private func mixture(colors: [NamedColor], using generator: inout SeededGenerator) -> [ObjectKind] {
        let all = colors.flatMap { color in ShapeKind.allCases.map { ObjectKind(color: color, shape: $0) } }
        let count = generator.integer(1...8)
        var kinds = Array(generator.shuffled(all).prefix(count))
        if generator.chance(0.4), let last = kinds.last, count < 8 {
            for _ in 0..<generator.integer(1...min(3, 9 - count)) { kinds.append(last) }
        }
        return kinds
    }

    /// As many questions about the same picture as the options ask for, of the kinds that they give a weight. The list
    /// of everything comes first or last: after it, answers could be copied from the text instead of being seen.
    private func conversation(
        _ first: SyntheticTurn, counted: CountTask.Query?, _ scene: Scene, using generator: inout SeededGenerator
    ) -> [SyntheticTurn] {
        var turns = first.task == .describe ? [] : [first]
        var queries = CountTask.queries(scene, using: &generator).filter { $0 != counted }
        // `popLast` takes what is not there first; two times in three it waits to the end.
        if generator.chance(0.67) { queries.reverse() }
        let wanted = generator.integer(options.questions)
        let kinds: [(SyntheticTask, Double)] = [(.count, 1), (.color, 0.6), (.shape, 0.6), (.relation, 1), (.box, 1.3)]
        let weights = kinds.map { asks($0.0) ? $0.1 : 0 }
        for _ in 0..<max(24, 4 * wanted) where turns.count < wanted && weights.contains(where: { $0 > 0 }) {
            let turn: SyntheticTurn?
            let target = generator.element(of: scene.objects).kind
            switch generator.index(weights: weights) {
            case 0: turn = queries.popLast().map { CountTask.turn($0, scene, using: &generator) }
            case 1: turn = AttributeTask.color(of: target, scene, using: &generator)
            case 2: turn = AttributeTask.shape(of: target, scene, using: &generator)
            case 3: turn = RelationTask.turn(scene, using: &generator)
            default: turn = BoxTask.turn(scene, using: &generator)
            }
            if let turn, !turns.contains(where: { repeats($0, turn) }) { turns.append(turn) }
        }
        if first.task == .describe {
            // Asked first half of the time, so that the list never depends on hints.
            if generator.chance(0.5) { turns.insert(first, at: 0) } else { turns.append(first) }
        } else if asks(.describe), generator.chance(0.6) {
            turns.append(BoxTask.describe(scene, using: &generator))
        }
        return turns
    }

    private func asks(_ task: SyntheticTask) -> Bool { options.weights[task, default: 0] > 0 }

    /// The same thing asked again teaches nothing, whatever the words. (Counts are kept apart by their queries.)
    private func repeats(_ first: SyntheticTurn, _ second: SyntheticTurn) -> Bool {
        let tasks: [SyntheticTask] = [.box, .color, .shape]
        return first.question == second.question
            || (first.task == second.task && tasks.contains(first.task) && first.answer == second.answer)
    }
}

/// What a task draws and asks.
struct Drawn {
    let image: Image
    let turns: [SyntheticTurn]
    let objects: [SyntheticObject]
    var captions: [SyntheticObject] = []
    let font: String?
}
