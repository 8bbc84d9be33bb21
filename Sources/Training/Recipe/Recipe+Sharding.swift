/// What each of several data-parallel processes holds a share of: one vocabulary for recipes and plans.
public enum ShardingKind: String, Sendable, CaseIterable, Codable, Comparable {
    /// Every process holds everything.
    case none
    /// Float32 weights and moments (ZeRO stage 1, Rajbhandari et al. 2020).
    case optimizer
    /// Gradients too (stage 2).
    case gradients
    /// Weights of blocks too, which come together while a block is at work (stage 3, fully sharded).
    case full

    public static func < (a: ShardingKind, b: ShardingKind) -> Bool {
        (allCases.firstIndex(of: a) ?? 0) < (allCases.firstIndex(of: b) ?? 0)
    }
}

extension ShardingKind {
    /// Reads `sharding: {kind: full}`.
    init(_ node: RecipeNode) throws {
        self = try node.choice("kind", default: nil)
        try node.finish()
    }
}
