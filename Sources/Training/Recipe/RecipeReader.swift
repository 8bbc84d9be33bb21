internal import Data
public import Foundation
internal import Models
internal import NN
internal import Yams

extension Recipe {
    /// A recipe and the text that it came from, after all replacements.
    public struct Loaded: Sendable {
        public var recipe: Recipe
        /// The YAML after replacements: goes into checkpoints, so that a resumed run can be compared with it.
        public var text: String
    }

    /// Reads a recipe.
    ///
    /// - Parameter overrides: `KEY=VALUE` with dotted keys, applied before anything is checked.
    /// - Throws: `RecipeError` with line and key of the first mistake.
    public static func load(_ url: URL, overrides: [String] = []) throws -> Loaded {
        try read(
            RecipeNode.root(of: url), folder: url.deletingLastPathComponent(),
            replacing: overrides.map(RecipeOverride.init))
    }

    /// Reads a recipe from its text; relative paths start from `folder`.
    public static func parse(_ text: String, file: String, folder: URL, overrides: [String] = []) throws -> Loaded {
        try read(RecipeNode.root(of: text, file: file), folder: folder, replacing: overrides.map(RecipeOverride.init))
    }

    /// Reads a recipe from its tree, after replacements.
    static func read(_ root: RecipeNode.Root, folder: URL, replacing replacements: [RecipeOverride]) throws -> Loaded {
        let node = try replacements.reduce(root.node) { try $1.applied(to: $0) }
        let canonical = try Yams.serialize(node: node, allowUnicode: true)
        return Loaded(
            recipe: try Recipe(RecipeNode(file: root.file, path: "", node: node), folder: folder), text: canonical)
    }

    init(_ node: RecipeNode, folder: URL) throws {
        name = try node.string("name")
        guard let model = try node.mapping("model") else { throw node.failure("model", "is missing") }
        self.model = try Model(model, folder: folder)
        seed = UInt64(try node.integer("seed", default: 0, in: 0...Int.max))
        precision = try node.choice("precision", default: .f32)
        output = try node.string("output", default: "runs/\(name)")
        keep = try node.integer("keep", default: 3, in: 1...10_000)
        workers = try node.integer("workers", default: 1, in: 1...256)
        threads = try node.integer("threads", default: 1, in: 1...256)
        maxSkippedSteps = try node.integer("max_skipped_steps", default: 3, in: 0...1_000_000)
        maxSkippedSamples = try node.number("max_skipped_samples", default: 0.001, in: 0...1)
        objective = try node.mapping("objective").map { try Objective($0) }
        heldOut = try node.mapping("held_out").map { try HeldOut($0, folder: folder) }
        stages = try node.mappings("stages").map { try Stage($0, folder: folder) }
        var names: Set<String> = []
        for stage in stages where !names.insert(stage.name).inserted {
            throw node.failure("stages", "has two stages named '\(stage.name)'")
        }
        if heldOut == nil, let stage = stages.first(where: { $0.evaluateEvery > 0 }) {
            throw node.failure("held_out", "is missing, but stage '\(stage.name)' has evaluate_every")
        }
        try node.finish()
    }
}

extension Recipe.Objective {
    init(_ node: RecipeNode) throws {
        kind = try node.choice("kind", default: nil)
        let sides = node.has("sides") ? try node.numbers("sides", count: 2) : [64, 256]
        guard sides[0] >= 1, sides[0] <= sides[1], sides[1] <= 16384 else {
            throw node.failure("sides", "must be two numbers from 1 to 16384, the smaller one first")
        }
        resolution = ResolutionSampling(sides: sides[0]...sides[1])
        dropping = .constant(0)
        if let drop = try node.mapping("drop") {
            let mean = try drop.number("mean", in: 0...0.99)
            let maximum = try drop.number("maximum", default: mean, in: mean...0.99)
            dropping = mean < maximum && mean > 0 ? .beta(mean: mean, maximum: maximum) : .constant(mean)
            try drop.finish()
        }
        try node.finish()
    }
}

extension Recipe.HeldOut {
    init(_ node: RecipeNode, folder: URL) throws {
        samples = try node.integer("samples", in: 1...1_000_000)
        data = try node.mappings("data").map { try Recipe.Source($0, folder: folder) }
        comparesBlind = try node.flag("blind", default: false)
        try node.finish()
    }
}

private func resolve(_ path: String, _ folder: URL) -> String {
    path.hasPrefix("/") ? path : folder.appendingPathComponent(path).standardizedFileURL.path
}

extension Recipe.Model {
    init(_ node: RecipeNode, folder: URL) throws {
        switch (node.has("checkpoint"), node.has("random")) {
        case (true, false): start = .checkpoint(resolve(try node.string("checkpoint"), folder))
        case (false, true): start = .random(resolve(try node.string("random"), folder))
        default:
            throw node.failure(
                "checkpoint", "or random must be there, one of them: the folder to start from, with or without weights")
        }
        configuration = try node.json("config")
        if case .checkpoint = start, configuration != nil {
            throw node.failure("config", "has no use beside checkpoint: weights come with their own config.json")
        }
        vocabulary = node.has("vocabulary") ? resolve(try node.string("vocabulary"), folder) : nil
        minPixels = node.has("min_pixels") ? try node.integer("min_pixels", in: 1...(1 << 32)) : nil
        maxPixels = node.has("max_pixels") ? try node.integer("max_pixels", in: 1...(1 << 32)) : nil
        try node.finish()
    }
}

extension Recipe.Stage {
    init(_ node: RecipeNode, folder: URL) throws {
        name = try node.string("name")
        lora = try node.mapping("lora").map { try Recipe.LowRank($0) }
        guard lora == nil || !node.has("train") else {
            throw node.failure("train", "has no use beside lora: adapters learn, and all else is frozen")
        }
        train = lora == nil ? try node.strings("train") : []
        learningRate = try node.number("learning_rate", in: 0...10)
        multiples =
            try node.mapping("multiples")?.numbersByKey(in: 0...1000).map { .init(pattern: $0, factor: $1) } ?? []
        weightDecay = try node.number("weight_decay", default: 0, in: 0...10)
        let betas = node.has("betas") ? try node.numbers("betas", count: 2) : [0.9, 0.95]
        guard betas.allSatisfy({ (0..<1).contains($0) }) else {
            throw node.failure("betas", "must be from 0 to below 1")
        }
        (beta1, beta2) = (betas[0], betas[1])
        epsilon = try node.number("epsilon", default: 1e-8, in: 0...1)
        steps = try node.integer("steps", in: 1...(1 << 40))
        schedule = try node.mapping("schedule").map { try LearningRateSchedule($0) } ?? .init(kind: .constant)
        guard schedule.warmupSteps <= steps else {
            throw node.failure("schedule", "warms up for \(schedule.warmupSteps) of \(steps) steps")
        }
        guard let batch = try node.mapping("batch") else { throw node.failure("batch", "is missing") }
        self.batch = try Recipe.Batch(batch)
        memory = try node.mapping("memory").map { try Recipe.Memory($0) } ?? .init()
        clip = node.has("clip") ? try node.number("clip", in: 0...1e6) : nil
        skipSpikes = node.has("skip_spikes") ? try node.number("skip_spikes", in: 1...1000) : nil
        data = try node.mappings("data").map { try Recipe.Source($0, folder: folder) }
        regions = try node.mapping("regions").map { try Recipe.Regions($0) }
        checkpointEvery = try node.integer("checkpoint_every", default: 500, in: 1...(1 << 40))
        logEvery = try node.integer("log_every", default: 10, in: 1...(1 << 40))
        evaluateEvery = try node.integer("evaluate_every", default: 0, in: 0...(1 << 40))
        try node.finish()
    }
}

extension Recipe.LowRank {
    init(_ node: RecipeNode) throws {
        let rank = try node.integer("rank", in: 1...65536)
        settings = .init(
            rank: rank, alpha: try node.number("alpha", default: Double(2 * rank), in: 0...1e6),
            dropout: try node.number("dropout", default: 0, in: 0...0.99),
            isRankStabilized: try node.flag("rslora", default: false))
        on = node.has("on") ? try node.strings("on") : []
        try node.finish()
    }
}

extension Recipe.Regions {
    init(_ node: RecipeNode) throws {
        weight = try node.number("weight", default: 1, in: 0...1e6)
        layer = node.has("layer") ? try node.integer("layer", in: 1...10_000) : nil
        answers = try node.flag("answers", default: true)
        try node.finish()
    }
}

extension LearningRateSchedule {
    init(_ node: RecipeNode) throws {
        kind = try node.choice("kind", default: nil)
        warmupSteps = try node.integer("warmup_steps", default: 0, in: 0...(1 << 40))
        finalRatio = try node.number("final_ratio", default: 0, in: 0...1)
        decaySteps = kind == .wsd ? try node.integer("decay_steps", in: 1...(1 << 40)) : 0
        try node.finish()
    }
}

extension Recipe.Batch {
    init(_ node: RecipeNode) throws {
        tokens = try node.integer("tokens", in: 1...(1 << 30))
        maxPatches = node.has("max_patches") ? try node.integer("max_patches", in: 1...(1 << 30)) : nil
        maxSamples = node.has("max_samples") ? try node.integer("max_samples", in: 1...(1 << 30)) : nil
        accumulation = try node.integer("accumulation", default: 1, in: 1...(1 << 20))
        lookAhead = try node.integer("look_ahead", default: 16, in: 1...(1 << 20))
        try node.finish()
    }
}

extension Recipe.Source {
    init(_ node: RecipeNode, folder: URL) throws {
        weight = try node.number("weight", default: 1, in: 0...1e9)
        isBlind = try node.flag("blind", default: false)
        if let synthetic = try node.mapping("synthetic") {
            kind = .synthetic(try SyntheticOptions(synthetic))
        } else {
            let file = resolve(try node.string("jsonl"), folder)
            let images = node.has("images") ? resolve(try node.string("images"), folder) : nil
            kind = .messages(
                file: file, images: images ?? URL(fileURLWithPath: file).deletingLastPathComponent().path,
                unmarked: try node.choice("unmarked_pictures", default: .error))
        }
        try node.finish()
    }
}

extension SyntheticOptions {
    init(_ node: RecipeNode) throws {
        self.init()
        seed = UInt64(try node.integer("seed", default: 0, in: 0...Int.max))
        if node.has("split") {
            let name = try node.string("split")
            guard let split = Split(rawValue: name) else {
                throw node.failure("split", "is '\(name)'; use train or held-out")
            }
            self.split = split
        }
        if node.has("turns") {
            let name = try node.string("turns")
            guard let turns = Turns(rawValue: name) else {
                throw node.failure("turns", "is '\(name)'; use single or several")
            }
            self.turns = turns
        }
        if let tasks = try node.mapping("tasks") {
            weights = [:]
            for (name, weight) in try tasks.numbersByKey(in: 0...1e9) {
                guard let task = SyntheticTask(rawValue: name) else {
                    let known = SyntheticTask.allCases.map(\.rawValue).joined(separator: ", ")
                    throw tasks.failure(name, "is not a task; use \(known)")
                }
                weights[task] = weight
            }
        }
        if node.has("sides") {
            let ends = try node.numbers("sides", count: 2)
            guard let low = Int(exactly: ends[0]), let high = Int(exactly: ends[1]), low <= high else {
                throw node.failure("sides", "must be two whole numbers, the smaller one first")
            }
            sides = low...high
        }
        chineseShare = try node.number("chinese_share", default: chineseShare, in: 0...1)
        difficulty = try node.number("difficulty", default: difficulty, in: 0...1)
        maxObjects = try node.integer("max_objects", default: maxObjects, in: 1...Self.allObjects)
        try node.finish()
        do { _ = try SyntheticGenerator(self) } catch { throw node.failure("sides", "cannot be generated: \(error)") }
    }
}
