internal import Foundation
public import Models
internal import NN

/// What a model costs, known without its weights: its parameters by name and the shapes of its stacks.
public struct ModelOutline: Sendable {
    public struct Entry: Sendable {
        public var name: String
        public var shape: [Int]
        public var part: ModelPart
        /// Whether checkpoints hold it but nothing learns it.
        public var isConstant: Bool

        public var count: Int { shape.reduce(1, *) }

        /// The number of the layer that it belongs to: the first number in its name. Nil for what stands outside.
        var layer: Int? { name.split(separator: ".").lazy.compactMap { Int($0) }.first }
        /// Whether it belongs to a block of a tower or the decoder.
        var isInBlock: Bool { [.visionTower, .decoder].contains(part) && layer != nil }

        /// Whether each token is multiplied by it. Tables of embeddings and positions are looked up.
        var isMatrix: Bool {
            shape.count >= 2 && part != .embedding && !isConstant && !name.contains("pos_emb")
                && !name.contains("position") && !name.contains("class_")
        }
    }

    public var entries: [Entry]
    /// Nil for an encoder by itself.
    public var decoder: DecoderConfiguration?
    public var towers: [TransformerShape]
    public var fusion: FusionScheme
    public var patchesPerTile: Int?
    public var patchesPerFeature: Double

    public init(_ model: any DescribedModel) throws {
        let store = ParameterStore(.shapes)
        decoder = try model.makeParameters(store)
        entries = store.parameters.map {
            Entry(name: $0.name, shape: $0.shape, part: model.part(of: $0.name), isConstant: $0.isConstant)
        }
        towers = model.towerShapes
        fusion = model.fusion
        patchesPerTile = model.patchesPerTile
        patchesPerFeature = model.patchesPerFeature
    }

    /// The model of a recipe.
    public init(_ model: Recipe.Model) throws {
        switch model.start {
        case .preset(let name): try self.init(Preset.named(name).model())
        case .checkpoint(let path), .random(let path):
            let file = URL(fileURLWithPath: path).appendingPathComponent("config.json")
            try self.init(ModelRegistry.described(ConfigurationReader(contentsOf: file, merging: model.configuration)))
        }
    }

    /// Parameters of the blocks of towers and decoder.
    var blockCount: Int {
        entries.reduce(0) { $0 + ($1.isInBlock ? $1.count : 0) }
    }

    /// All parameters.
    public var count: Int { entries.reduce(0) { $0 + $1.count } }

    public func count(of part: ModelPart) -> Int {
        entries.reduce(0) { $0 + ($1.part == part ? $1.count : 0) }
    }

    /// Parameters of the decoder's layers, with one expert in place of several.
    var denseDecoderParameters: Int {
        entries.reduce(0) { sum, entry in
            guard entry.part == .decoder else { return sum }
            if let expert = entry.expert, expert > 0 { return sum }
            return sum + entry.count
        }
    }

    /// Elements of a part's matrices that a token meets: of experts only those that a token takes.
    func activeMatrices(_ part: ModelPart, where include: (Entry) -> Bool = { _ in true }) -> Double {
        let share = decoder?.experts.map { Double($0.active) / Double($0.experts) } ?? 1
        return entries.reduce(0) { sum, entry in
            guard entry.part == part, entry.isMatrix, include(entry) else { return sum }
            return sum + Double(entry.count) * (entry.expert == nil ? 1 : share)
        }
    }
}

extension ModelOutline.Entry {
    /// Its expert's number; nil where it is no expert's.
    fileprivate var expert: Int? {
        let parts = name.split(separator: ".")
        guard let place = parts.firstIndex(of: "experts"), place + 1 < parts.count else { return nil }
        return Int(parts[place + 1])
    }
}
