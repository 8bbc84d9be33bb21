public import Torch

/// What a forward pass carries besides its input: caches while generating, and whoever looks at intermediate results.
public final class ForwardContext {
    /// One cache per sequence of the batch, or none in training and scoring.
    public var caches: [KeyValueCache]?
    /// Called with the name and value of intermediate results, such as `text.layer0` (`[tokens, hidden]`).
    public var observer: ((String, Tensor) throws -> Void)?

    /// Called with the rotated queries (`[tokens, heads, head size]`) and keys (`[tokens, key-value heads, head size]`)
    /// of one layer's self-attention, so that a loss may say where to look.
    public var attentionProbe: (layer: Int, note: (Tensor, Tensor) throws -> Void)?

    /// Where mixtures of experts note how they dealt tokens out, layer by layer; nil where nobody asks.
    public var routings: [Routing]?

    /// A number that is zero and follows from pictures of others: added to what the decoder reads, so that a pass without
    /// pictures has the same ways back as one with some.
    public var unseen: Tensor?

    /// Parts whose blocks keep only their inputs for the backward pass, and are computed again in it.
    public var recomputed: Set<ModelPart> = []

    /// Residual branches that a training pass leaves out at random.
    public var dropPath = DropPath()

    public init(caches: [KeyValueCache]? = nil, observer: ((String, Tensor) throws -> Void)? = nil) {
        self.caches = caches
        self.observer = observer
    }

    @inline(__always)
    public func observe(_ name: @autoclosure () -> String, _ value: Tensor) throws {
        if let observer { try observer(name(), value) }
    }
}

/// The shares of residual branches that training leaves out at the last block of the tower and of the decoder. They grow
/// evenly from 0 at the first block, and each branch is left out for a whole picture or sequence at a time, by
/// `DropoutRandom` (stochastic depth, Huang et al. 2016; timm's `drop_path_rate`).
public struct DropPath: Sendable, Hashable {
    public var tower: Double
    public var decoder: Double

    public init(tower: Double = 0, decoder: Double = 0) {
        self.tower = tower
        self.decoder = decoder
    }

    /// The share at one of `count` blocks.
    static func share(_ last: Double, block: Int, of count: Int) -> Double {
        count > 1 ? last * Double(block) / Double(count - 1) : last
    }
}
