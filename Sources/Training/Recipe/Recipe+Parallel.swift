internal import NN

extension Recipe {
    /// How many ranks divide the model among themselves; the ranks that are left over compute micro-batches of their own.
    public struct Parallel: Sendable, Equatable {
        /// Ranks that divide the matrices of each block, and compute the same micro-batches.
        public var tensor = 1
        /// Ranks that deal out the experts, and send each other tokens.
        public var expert = 1

        public init(tensor: Int = 1, expert: Int = 1) {
            self.tensor = tensor
            self.expert = expert
        }

        var isPlain: Bool { self == Parallel() }
    }
}

extension Recipe.Parallel {
    /// Reads `parallel: {tensor: 2, expert: 2}`.
    init(_ node: RecipeNode) throws {
        tensor = try node.integer("tensor", default: 1, in: 1...1024)
        expert = try node.integer("expert", default: 1, in: 1...1024)
        try node.finish()
    }
}

extension Recipe {
    /// - Throws: `TrainingError.unsupported` for what ranks that divide a model do not do, or for a number of ranks that
    ///   cannot be arranged.
    func requireParallel(ranks: Int) throws {
        let (tensor, expert) = (parallel.tensor, parallel.expert)
        if parallel.isPlain { return }
        var problems: [String] = []
        func refuse(_ key: String, _ reason: String) { problems.append("\(key): \(reason)") }
        if !ranks.isMultiple(of: tensor * expert) {
            refuse(
                "parallel",
                "asks for \(tensor) × \(expert) ranks (tensor × expert), and there are \(ranks); start a multiple")
        }
        if objective != nil {
            refuse("parallel", "is of language models; ranks that train an encoder share its micro-batches")
        }
        if threads > 1 { refuse("threads", "is \(threads); parallel computes one row at a time") }
        for stage in stages {
            if stage.regions != nil { refuse("stages.\(stage.name).regions", "does not go with parallel") }
        }
        if !problems.isEmpty { throw TrainingError.unsupported(problems) }
    }
}
