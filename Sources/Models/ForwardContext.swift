public import Torch

/// What a forward pass carries besides its input: caches while generating, and whoever looks at intermediate results.
public final class ForwardContext {
    /// One cache per sequence of the batch, or none in training and scoring.
    public var caches: [KeyValueCache]?
    /// Called with the name and value of intermediate results, such as `text.layer0` (`[tokens, hidden]`).
    public var observer: ((String, Tensor) throws -> Void)?

    /// Where mixtures of experts note how they dealt tokens out, layer by layer; nil where nobody asks.
    public var routings: [Routing]?

    /// Parts whose blocks keep only their inputs for the backward pass, and are computed again in it.
    public var recomputed: Set<ModelPart> = []

    public init(caches: [KeyValueCache]? = nil, observer: ((String, Tensor) throws -> Void)? = nil) {
        self.caches = caches
        self.observer = observer
    }

    @inline(__always)
    public func observe(_ name: @autoclosure () -> String, _ value: Tensor) throws {
        if let observer { try observer(name(), value) }
    }
}
