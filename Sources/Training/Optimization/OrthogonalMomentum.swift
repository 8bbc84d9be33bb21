internal import Torch

/// Muon's step for matrices (Jordan et al. 2024): a running mean of gradients, of which the singular values are all made
/// about 1 before it is taken.
///
/// Steps are those of `torch.optim.Muon` with Nesterov momentum and `adjust_lr_fn="match_rms_adamw"`: an update has the
/// root mean square that AdamW's has, so that its rates and weight decay fit (Liu et al. 2025, section 2.2).
enum OrthogonalMomentum {
    /// Of the running mean.
    static let momentum = 0.95
    /// Of the quintic polynomial that is applied `iterations` times. Singular values come out between 0.7 and 1.2.
    private static let coefficients = (a: 3.4445, b: -4.775, c: 2.0315)
    private static let iterations = 5
    /// Values of matrices of one shape that are taken at a time, at most: 32 MB in bf16, 64 MB in float32.
    private static let most = 1 << 24

    /// Lets the running mean follow gradients, in place; float32 of any shape.
    static func follow(_ mean: Tensor, _ gradient: Tensor) throws {
        try mean.multiplyInPlace(momentum)
        try mean.addInPlace(gradient, scale: 1 - momentum)
    }

    /// What is made orthogonal: the gradient looking ahead along the mean (Nesterov).
    static func direction(_ mean: Tensor, _ gradient: Tensor) throws -> Tensor {
        try gradient * (1 - momentum) + mean * momentum
    }

    /// Gives the update of each of several matrices to `apply`, float32 and for a rate of 1.
    ///
    /// - Parameters:
    ///   - shapes: of the matrices, `[rows, columns]`.
    ///   - direction: that of a matrix, asked for a few matrices at a time, in the same order whoever asks.
    static func updates(
        _ shapes: [[Int]], of direction: (Int) throws -> Tensor, apply: (Int, Tensor) throws -> Void
    ) throws {
        // Tall ones are worked on lying down.
        var alike: [[Int]: [Int]] = [:]
        for (index, shape) in shapes.enumerated() { alike[shape.sorted(), default: []].append(index) }
        // In an order that does not depend on who has which, since directions may have to be gathered.
        for (lying, all) in alike.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            // Many small products cost more in calls than in operations.
            let count = max(1, most / max(1, lying[0] * lying[1]))
            let size = 0.2 * Double(lying[1]).squareRoot()
            for start in stride(from: 0, to: all.count, by: count) {
                let some = all[start..<min(start + count, all.count)]
                let updates = try orthogonalized(some.map { try Self.lying(direction($0)) })
                for (number, index) in some.enumerated() {
                    let update = try updates.select(0, number).to(.float32) * size
                    try apply(index, shapes[index][0] > shapes[index][1] ? update.transpose(0, 1) : update)
                }
            }
        }
    }

    private static func lying(_ matrix: Tensor) throws -> Tensor {
        try matrix.size(0) > matrix.size(1) ? matrix.transpose(0, 1) : matrix
    }

    /// The nearest matrices, about, whose rows are orthonormal, `[matrices, rows, columns]`, of as many that are not taller
    /// than wide: Newton and Schulz's iteration in bf16.
    static func orthogonalized(_ matrices: [Tensor]) throws -> Tensor {
        let stack = try Tensor.stack(matrices)
        // No singular value is above the norm.
        let norms = try stack.square().sum([1, 2], keepDimensions: true).sqrt()
        var x = try (stack / norms.maximum(.full([1], 1e-7, device: stack.device))).to(.bfloat16)
        let one = try Tensor(Array(0..<stack.size(1))).oneHot(stack.size(1)).to(stack.device).to(.float32)
        for _ in 0..<iterations {
            let gram = try x.matmul(x.transpose(1, 2))
            // The polynomial of the small matrix in float32, all of it: one product with the large one, and less rounding.
            let polynomial =
                try one * coefficients.a + gram.to(.float32) * coefficients.b
                + gram.matmul(gram).to(.float32) * coefficients.c
            x = try polynomial.to(.bfloat16).matmul(x)
        }
        return x
    }
}
