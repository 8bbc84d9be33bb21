public import Models

extension Recipe {
    /// What a stage does to need less memory. Gradients are the same with and without it.
    public struct Memory: Sendable, Equatable {
        /// Parts whose blocks are computed again in the backward pass instead of being kept: the tower, the decoder.
        public var recomputed: [ModelPart]
        /// Rows whose scores are computed at once; all of a batch where nil.
        public var lossRows: Int?
        /// Bits of each of the optimiser's moments, 32 or 8. With 8 steps are no longer quite the same.
        public var momentBits: Int

        /// What is in the CPU's memory when passes are computed on a GPU. On the CPU all is there anyway.
        public var offload = Offload.none

        public enum Offload: String, Sendable, CaseIterable, Comparable {
            case none
            /// Float32 weights, moments and sums of gradients; the CPU takes the steps (Ren et al. 2021).
            case optimizer
            /// These, and what the blocks of tower and decoder compute with, which comes to the GPU while a block is at
            /// work (Rajbhandari et al. 2021). Blocks are computed again in the backward pass.
            case parameters

            public static func < (a: Self, b: Self) -> Bool {
                allCases.firstIndex(of: a) ?? 0 < allCases.firstIndex(of: b) ?? 0
            }
        }

        /// What happens to a row that does not fit into memory after all.
        public var whenFull = WhenFull.halve

        public enum WhenFull: String, Sendable, CaseIterable {
            /// It is computed in halves, which gives the same gradients; a step with a sample that does not fit by itself
            /// is skipped.
            case halve
            /// Its step is skipped.
            case skip
            /// The run ends.
            case stop
        }

        public init(recomputed: [ModelPart] = [], lossRows: Int? = nil, momentBits: Int = 32) {
            self.recomputed = recomputed
            self.lossRows = lossRows
            self.momentBits = momentBits
        }
    }
}

extension Recipe.Memory {
    init(_ node: RecipeNode) throws {
        self.init()
        if node.has("recompute") {
            recomputed = try node.strings("recompute").map { name in
                switch name {
                case ParameterSelection.Part.tower.rawValue: .visionTower
                case ParameterSelection.Part.decoder.rawValue: .decoder
                default: throw node.failure("recompute", "names '\(name)'; use tower, decoder or both")
                }
            }
        }
        lossRows = node.has("loss_rows") ? try node.integer("loss_rows", in: 1...(1 << 30)) : nil
        momentBits = try node.integer("moment_bits", default: 32, in: 8...32)
        guard [8, 32].contains(momentBits) else {
            throw node.failure("moment_bits", "is \(momentBits); use 8 or 32")
        }
        offload = try node.choice("offload", default: Offload.none)
        whenFull = try node.choice("when_full", default: .halve)
        try node.finish()
    }
}
