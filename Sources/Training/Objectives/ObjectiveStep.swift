public import Torch

/// Steps of an optimizer down any loss: what encoders learn by.
public struct ObjectiveStep {
    public let optimizer: Optimizer

    public init(_ optimizer: Optimizer) { self.optimizer = optimizer }

    /// Computes the loss, its gradients and one update. Where loss or gradient are not finite nothing changes.
    ///
    /// - Parameter clip: the largest norm of the gradient; nil leaves it as it is.
    /// - Returns: the loss before the update.
    @discardableResult
    public func callAsFunction(rate: Double, clip: Double? = 1, _ loss: () throws -> Tensor) throws -> Double {
        try optimizer.zeroGradients()
        let leaves = optimizer.leaves
        let (value, gradients) = try withGradient {
            let loss = try loss()
            return (
                try loss.item(),
                try Tensor.gradients(of: [loss], weightedBy: [.scalar(1, device: loss.device)], for: leaves)
            )
        }
        try optimizer.add(gradients)
        _ = try optimizer.update(loss: value, norm: optimizer.gradientNorm(), rate: rate, clip: clip)
        return value
    }
}
