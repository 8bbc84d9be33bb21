/// Operations of all ranks within a pass, with gradients. Every rank must record them alike.
extension ProcessGroup {
    /// `x` as it is; its gradient is the sum of those of all ranks, each of which goes on with it in its own way (`f` of
    /// Shoeybi et al. 2019, section 3).
    public func entering(_ x: Tensor) throws -> Tensor {
        guard size > 1 else { return x }
        return try customFunction(inputs: [x]) {
            [x]
        } backward: { gradients in
            guard let gradient = try gradients[0]?.contiguous().clone() else { return [nil] }
            try self.allReduce(gradient, for: "adding up gradients of a block's input")
            return [gradient]
        }[0]
    }

    /// The sum of all ranks' `x`, the same bits on each; its gradient is that of the sum (`g` of the same).
    public func summing(_ x: Tensor) throws -> Tensor {
        guard size > 1 else { return x }
        return try customFunction(inputs: [x]) {
            let sum = try x.detach().contiguous().clone()
            try self.allReduce(sum, for: "adding up a block's output")
            return [sum]
        } backward: {
            [$0[0]]
        }[0]
    }

    /// Sends `sent[i]` rows of `x` (`[rows, size]`) to rank i, in their order, and gives those received, `received[i]` of
    /// rank i. Gradients go back the same way.
    ///
    /// - Parameter anchor: of one element, and learns: it makes the gradients' way back part of every rank's pass, also
    ///   where `x` has nothing to learn.
    public func exchangingRows(_ x: Tensor, sent: [Int], received: [Int], anchor: Tensor) throws -> Tensor {
        guard size > 1 else { return x }
        func exchanged(_ rows: Tensor, _ sent: [Int], _ received: [Int]) throws -> Tensor {
            let output = try Tensor.empty(
                [received.reduce(0, +), rows.size(1)], dtype: rows.dtype, device: rows.device)
            try self.allToAll(
                rows.detach().contiguous(), sent: sent, into: output, received: received, for: "exchanging tokens")
            return output
        }
        let width = x.size(1), dtype = x.dtype, device = x.device
        return try customFunction(inputs: [x, anchor]) {
            [try exchanged(x, sent, received)]
        } backward: { gradients in
            let given =
                try gradients[0] ?? .zeros([received.reduce(0, +), width], dtype: dtype, device: device)
            return [try exchanged(given, received, sent), nil]
        }[0]
    }
}
