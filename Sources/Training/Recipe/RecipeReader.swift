internal import Data
public import Foundation
internal import Models
internal import NN
internal import Torch
internal import Yams

extension Recipe {
    /// A recipe and the text that it came from, after all replacements.
    public struct Loaded: Sendable {
        public var recipe: Recipe
        /// The YAML after replacements: goes into checkpoints, so that a resumed run can be compared with it.
        public var text: String
        /// Fields that may differ from those of the checkpoint that a run goes on from.
        public var allowedChanges: Set<String> = []
    }

    /// Reads a recipe.
    ///
    /// - Parameters:
    ///   - overrides: `KEY=VALUE` with dotted keys, applied before anything is checked.
    ///   - catalogue: a file that says where data of which role lies, see `DataCatalogue`.
    /// - Throws: `RecipeError` with line and key of the first mistake.
    public static func load(_ url: URL, overrides: [String] = [], catalogue: URL? = nil) throws -> Loaded {
        try read(
            RecipeNode.root(of: url), folder: url.deletingLastPathComponent(),
            replacing: overrides.map(RecipeOverride.init), catalogue: catalogue.map(DataCatalogue.init))
    }

    /// Reads a recipe from its text; relative paths start from `folder`.
    public static func parse(_ text: String, file: String, folder: URL, overrides: [String] = []) throws -> Loaded {
        try read(RecipeNode.root(of: text, file: file), folder: folder, replacing: overrides.map(RecipeOverride.init))
    }

    /// Reads a recipe from its tree, after replacements.
    static func read(
        _ root: RecipeNode.Root, folder: URL, replacing replacements: [RecipeOverride], catalogue: DataCatalogue? = nil
    ) throws -> Loaded {
        var node = try replacements.reduce(root.node) { try $1.applied(to: $0) }
        if let catalogue { node = catalogue.applied(to: node) }
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
        let deviceName = try node.string("device", default: Device.cpu.description)
        guard let device = Device(name: deviceName), device != .meta else {
            throw node.failure("device", "is '\(deviceName)'; use one of cpu, cuda, cuda:N, mps")
        }
        self.device = device
        if device != .cpu, threads > 1 {
            throw node.failure("threads", "is \(threads); micro-batches side by side are for the cores of a CPU")
        }
        sharding = try node.mapping("sharding").map { try ShardingKind($0) }
        parallel = try node.mapping("parallel").map { try Parallel($0) } ?? Parallel()
        maxSkippedSteps = try node.integer("max_skipped_steps", default: 3, in: 0...1_000_000)
        maxSkippedSamples = try node.number("max_skipped_samples", default: 0.001, in: 0...1)
        sampleTimeout = try node.number("sample_timeout", default: 60, in: 0.1...86_400)
        objective = try node.mapping("objective").map { try Objective($0) }
        minSupervised = try node.number("min_supervised", default: 0.005, in: 0...1)
        heldOut = try node.mapping("held_out").map { try HeldOut($0, folder: folder) }
        soup = node.has("soup") ? try node.choice("soup", default: nil) : nil
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
        switch kind {
        case .classification: try readSizes(node)
        case .contrastive:
            contrast = node.has("loss") ? try node.choice("loss", default: nil) : nil
            negatives = try node.choice("negatives", default: .step)
        case .autoregressive: break
        }
        try node.finish()
    }

    /// NaViT's choices: sizes of pictures, and patches that are left out.
    private mutating func readSizes(_ node: RecipeNode) throws {
        let sides = node.has("sides") ? try node.numbers("sides", count: 2) : [64, 256]
        guard sides[0] >= 1, sides[0] <= sides[1], sides[1] <= 16384 else {
            throw node.failure("sides", "must be two numbers from 1 to 16384, the smaller one first")
        }
        resolution = ResolutionSampling(sides: sides[0]...sides[1])
        if let drop = try node.mapping("drop") {
            let mean = try drop.number("mean", in: 0...0.99)
            let maximum = try drop.number("maximum", default: mean, in: mean...0.99)
            dropping = mean < maximum && mean > 0 ? .beta(mean: mean, maximum: maximum) : .constant(mean)
            try drop.finish()
        }
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

extension Recipe.Model {
    init(_ node: RecipeNode, folder: URL) throws {
        switch ["checkpoint", "random", "preset"].filter(node.has) {
        case ["checkpoint"]: start = .checkpoint(resolved(try node.string("checkpoint"), folder))
        case ["random"]: start = .random(resolved(try node.string("random"), folder))
        case ["preset"]: start = .preset(try Self.known(node, "preset", Preset.all.map(\.name)))
        default:
            throw node.failure(
                "checkpoint",
                "or random must be there, one of them: the folder to start from, with or without weights; or preset, "
                    + "the name of a published size, for plans")
        }
        configuration = try node.json("config")
        if case .checkpoint = start, configuration != nil {
            throw node.failure("config", "has no use beside checkpoint: weights come with their own config.json")
        }
        vocabulary = node.has("vocabulary") ? resolved(try node.string("vocabulary"), folder) : nil
        minPixels = node.has("min_pixels") ? try node.integer("min_pixels", in: 1...(1 << 32)) : nil
        maxPixels = node.has("max_pixels") ? try node.integer("max_pixels", in: 1...(1 << 32)) : nil
        try node.finish()
    }

    private static func known(_ node: RecipeNode, _ field: String, _ names: [String]) throws -> String {
        let name = try node.string(field).lowercased()
        guard names.contains(name) else {
            throw node.failure(field, "is '\(name)'; use one of \(names.joined(separator: ", "))")
        }
        return name
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
        optimizer = try node.choice("optimizer", default: .adamw)
        if optimizer == .adafactor, let field = ["betas", "epsilon"].first(where: node.has) {
            throw node.failure(field, "is of adamw; adafactor has none")
        }
        rateRule = LearningRateRule(rawValue: try node.string("learning_rate"))
        learningRate = rateRule == nil ? try node.number("learning_rate", in: 0...10) : 0
        func multiples(_ field: String, in range: ClosedRange<Double>) throws -> [Recipe.Multiple] {
            try node.mapping(field)?.numbersByKey(in: range).map { .init(pattern: $0, factor: $1) } ?? []
        }
        self.multiples = try multiples("multiples", in: 0...1000)
        layerDecay = try multiples("layer_decay", in: 0...1)
        for decay in layerDecay where !["tower", "decoder"].contains(decay.pattern) {
            throw node.failure("layer_decay", "names '\(decay.pattern)'; use tower or decoder")
        }
        weightDecay = try node.number("weight_decay", default: 0, in: 0...10)
        let betas = node.has("betas") ? try node.numbers("betas", count: 2) : [0.9, 0.95]
        guard betas.allSatisfy({ (0..<1).contains($0) }) else {
            throw node.failure("betas", "must be from 0 to below 1")
        }
        (beta1, beta2) = (betas[0], betas[1])
        epsilon = try node.number("epsilon", default: 1e-8, in: 0...1)
        guard let batch = try node.mapping("batch") else { throw node.failure("batch", "is missing") }
        self.batch = try Recipe.Batch(batch)
        if node.has("tokens") {
            if node.has("steps") { throw node.failure("tokens", "stands beside steps; name one of them") }
            let tokens = try node.number("tokens", in: 1...1e18)
            steps = Int((tokens / Double(self.batch.tokens * self.batch.accumulation)).rounded(.up))
        } else {
            steps = try node.integer("steps", in: 1...(1 << 40))
        }
        schedule =
            try node.mapping("schedule").map { [steps] in try LearningRateSchedule($0, steps: steps) }
            ?? .init(kind: .constant)
        guard schedule.warmupSteps <= steps else {
            throw node.failure("schedule", "warms up for \(schedule.warmupSteps) of \(steps) steps")
        }
        memory = try node.mapping("memory").map { try Recipe.Memory($0) } ?? .init()
        clip = node.has("clip") ? try node.number("clip", in: 0...1e6) : nil
        skipSpikes = node.has("skip_spikes") ? try node.number("skip_spikes", in: 1...1000) : nil
        data = try node.mappings("data").map { try Recipe.Source($0, folder: folder) }
        regions = try node.mapping("regions").map { try Recipe.Regions($0) }
        pictures = try node.mapping("pictures").map { try Recipe.Pictures($0) }
        loss = try node.mapping("loss").map { try Recipe.Loss($0) } ?? .init()
        dropPath = try DropPath(node, "drop_path")
        average = try node.mapping("ema").map { try Recipe.ExponentialAverage($0) }
        expect = try node.mapping("expect").map { try Recipe.Expectation($0) }
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
            isRankStabilized: try node.flag("rslora", default: false),
            isWeightDecomposed: try node.flag("dora", default: false))
        on = node.has("on") ? try node.strings("on") : []
        baseBits = node.has("base_bits") ? try node.integer("base_bits", in: 4...4) : nil
        try node.finish()
    }
}

extension Recipe.Regions {
    init(_ node: RecipeNode) throws {
        weight = try node.number("weight", default: 1, in: 0...1e6)
        layer = node.has("layer") ? try node.integer("layer", in: 1...10_000) : nil
        answers = try node.flag("answers", default: true)
        look = try node.number("look", default: 0, in: 0...1e6)
        if look > 0, !answers { throw node.failure("look", "needs answers; leave `answers: false` out") }
        try node.finish()
    }
}

extension LearningRateSchedule {
    /// - Parameter steps: of the stage, for what is told as a share of it.
    init(_ node: RecipeNode, steps: Int) throws {
        kind = try node.choice("kind", default: nil)
        if node.has("warmup_ratio") {
            if node.has("warmup_steps") { throw node.failure("warmup_ratio", "stands beside warmup_steps; name one") }
            // As transformers rounds it.
            warmupSteps = Int((try node.number("warmup_ratio", in: 0...1) * Double(steps)).rounded(.up))
        } else {
            warmupSteps = try node.integer("warmup_steps", default: 0, in: 0...(1 << 40))
        }
        finalRatio = kind == .inverseSquareRoot ? 0 : try node.number("final_ratio", default: 0, in: 0...1)
        decaySteps =
            kind == .wsd || kind == .inverseSquareRoot
            ? try node.integer("decay_steps", default: kind == .wsd ? nil : 0, in: 0...(1 << 40)) : 0
        timescale =
            kind == .inverseSquareRoot
            ? try node.integer("timescale", default: max(1, warmupSteps), in: 1...(1 << 40)) : 1
        try node.finish()
    }
}

extension Recipe.Batch {
    init(_ node: RecipeNode) throws {
        // Papers count the rows of a step and their length.
        if node.has("sequences") {
            accumulation = try node.integer("sequences", in: 1...(1 << 20))
            tokens = try node.integer("length", in: 1...(1 << 30))
            maxSamples = try node.flag("packed") ? nil : 1
            maxPatches = node.has("max_patches") ? try node.integer("max_patches", in: 1...(1 << 30)) : nil
            lookAhead = try node.integer("look_ahead", default: maxSamples == nil ? 64 : 1, in: 1...(1 << 20))
            try node.finish()
            return
        }
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
        lowestPerplexity = node.has("lowest_perplexity") ? try node.number("lowest_perplexity", in: 0...1) : nil
        if node.has("role") {
            kind = .role(try node.string("role"))
        } else if let synthetic = try node.mapping("synthetic") {
            let spells = try synthetic.flag("spell", default: false)
            kind = .synthetic(try SyntheticOptions(synthetic), spells: spells)
        } else {
            let file = resolved(try node.string("jsonl"), folder)
            let images = node.has("images") ? resolved(try node.string("images"), folder) : nil
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
        weights = try node.weights("tasks", called: "a task") ?? weights
        counted = try node.weights("counted", called: "what can be counted")
        if node.has("sides") {
            let ends = try node.numbers("sides", count: 2)
            guard let low = Int(exactly: ends[0]), let high = Int(exactly: ends[1]), low <= high else {
                throw node.failure("sides", "must be two whole numbers, the smaller one first")
            }
            sides = low...high
        }
        if node.has("questions") {
            let ends = try node.numbers("questions", count: 2)
            guard let low = Int(exactly: ends[0]), let high = Int(exactly: ends[1]), low >= 1, low <= high,
                high <= Self.allQuestions
            else {
                throw node.failure(
                    "questions", "must be two whole numbers of 1 to \(Self.allQuestions), the smaller one first")
            }
            questions = low...high
        }
        chineseShare = try node.number("chinese_share", default: chineseShare, in: 0...1)
        difficulty = try node.number("difficulty", default: difficulty, in: 0...1)
        maxObjects = try node.integer("max_objects", default: maxObjects, in: 1...Self.allObjects)
        try node.finish()
        do { _ = try SyntheticGenerator(self) } catch { throw node.failure("sides", "cannot be generated: \(error)") }
    }
}

extension RecipeNode {
    /// Reads `{text: 3, chart: 1}`; nil where the field is missing.
    fileprivate func weights<Key: RawRepresentable<String> & CaseIterable & Hashable>(
        _ field: String, called name: String
    ) throws -> [Key: Double]? {
        try mapping(field).map { node in
            var weights: [Key: Double] = [:]
            for (key, weight) in try node.numbersByKey(in: 0...1e9) {
                guard let known = Key(rawValue: key) else {
                    let all = Key.allCases.map(\.rawValue).joined(separator: ", ")
                    throw node.failure(key, "is not \(name); use \(all)")
                }
                weights[known] = weight
            }
            return weights
        }
    }
}

extension Recipe.Pictures {
    init(_ node: RecipeNode) throws {
        func limit(_ field: String, _ range: ClosedRange<Int>) throws -> Int? {
            node.has(field) ? try node.integer(field, in: range) : nil
        }
        minPixels = try limit("min_pixels", 1...(1 << 32))
        maxPixels = try limit("max_pixels", 1...(1 << 32))
        maxTiles = try limit("max_tiles", 1...4096)
        side = try limit("side", 1...16384)
        try node.finish()
    }
}

extension Recipe.Loss {
    init(_ node: RecipeNode) throws {
        weighting = try node.choice("weighting", default: .token)
        z = try node.number("z", default: 0, in: 0...1)
        try node.finish()
    }
}

extension DropPath {
    /// Reads one share for tower and decoder, or `{tower: 0.1}`.
    init(_ node: RecipeNode, _ field: String) throws {
        self.init()
        guard node.isMapping(field) else {
            tower = try node.number(field, default: 0, in: 0...0.99)
            decoder = tower
            return
        }
        guard let parts = try node.mapping(field) else { return }
        tower = try parts.number("tower", default: 0, in: 0...0.99)
        decoder = try parts.number("decoder", default: 0, in: 0...0.99)
        try parts.finish()
    }
}

extension Recipe.ExponentialAverage {
    init(_ node: RecipeNode) throws {
        decay = try node.number("decay", in: 0...0.999_999_9)
        try node.finish()
    }
}

extension Recipe.Expectation {
    init(_ node: RecipeNode) throws {
        func mean(_ field: String) throws -> Double? {
            node.has(field) ? try node.number(field, in: 0...1e12) : nil
        }
        samples = try mean("samples")
        tokens = try mean("tokens")
        supervised = try mean("supervised")
        pictures = try mean("pictures")
        patches = try mean("patches")
        published = try node.mapping("published").map { published in
            let speed = Recipe.PublishedSpeed(
                model: try published.string("model").lowercased(), device: try published.string("device"),
                devices: try published.integer("devices", default: 1, in: 1...(1 << 20)),
                samplesPerSecond: published.has("samples_per_second")
                    ? try published.number("samples_per_second", in: 1e-9...1e12) : nil,
                deviceHours: published.has("device_hours")
                    ? try published.number("device_hours", in: 1e-9...1e12) : nil,
                source: try published.string("source"))
            guard (speed.samplesPerSecond == nil) != (speed.deviceHours == nil) else {
                throw published.failure("samples_per_second", "or device_hours must be there, one of them")
            }
            try published.finish()
            return speed
        }
        try node.finish()
    }
}
