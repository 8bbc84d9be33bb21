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

    /// A matrix that learns, all `[rows, columns]` and float32.
    struct Matrix {
        var values: Tensor
        var gradient: Tensor
        /// Of gradients so far.
        var mean: Tensor
    }

    /// Takes a step in place.
    static func step(_ matrices: [Matrix], rate: Double, weightDecay: Double) throws {
        var alike: [[Int]: [Matrix]] = [:], shapes: [[Int]] = []
        for matrix in matrices {
            try matrix.mean.multiplyInPlace(momentum)
            try matrix.mean.addInPlace(matrix.gradient, scale: 1 - momentum)
            // Tall ones are worked on lying down.
            let shape = matrix.values.shape.sorted()
            if alike[shape] == nil { shapes.append(shape) }
            alike[shape, default: []].append(matrix)
        }
        for shape in shapes {
            // Many small products cost more in calls than in operations.
            let all = alike[shape] ?? [], count = max(1, most / max(1, shape[0] * shape[1]))
            for start in stride(from: 0, to: all.count, by: count) {
                let some = all[start..<min(start + count, all.count)]
                let updates = try orthogonalized(
                    some.map { try lying($0.gradient * (1 - momentum) + $0.mean * momentum) })
                for (index, matrix) in some.enumerated() {
                    let update = try updates.select(0, index).to(.float32)
                    let size = 0.2 * Double(shape[1]).squareRoot()
                    if weightDecay > 0 { try matrix.values.multiplyInPlace(1 - rate * weightDecay) }
                    try matrix.values.addInPlace(
                        isTall(matrix.values) ? update.transpose(0, 1) : update, scale: -rate * size)
                }
            }
        }
    }

    private static func isTall(_ matrix: Tensor) -> Bool { matrix.size(0) > matrix.size(1) }
    private static func lying(_ matrix: Tensor) throws -> Tensor {
        try isTall(matrix) ? matrix.transpose(0, 1) : matrix
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
