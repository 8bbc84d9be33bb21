internal import Foundation
internal import Torch

/// What Adafactor remembers of a parameter: running means of its squared gradients over each row and each column of its
/// last two dimensions, or over nothing where it has but one (Shazeer and Stern 2018, algorithms 4 and 5).
///
/// Steps are those of transformers' `Adafactor` with a rate of its own: no momentum, an exponent of -0.8 for the decay,
/// and updates of which the root mean square is at most 1.
struct FactoredMoments {
    /// Without the last dimension, or all of a vector; float32.
    let rows: Tensor
    /// Without the last dimension but one.
    let columns: Tensor?

    init(_ shape: [Int], device: Device) throws {
        guard shape.count >= 2 else {
            rows = try Tensor.zeros(shape, device: device)
            columns = nil
            return
        }
        rows = try Tensor.zeros(Array(shape.dropLast()), device: device)
        columns = try Tensor.zeros(Array(shape.dropLast(2)) + [shape[shape.count - 1]], device: device)
    }

    /// Float32 values that are held for a parameter of this shape.
    static func count(_ shape: [Int]) -> Int {
        guard shape.count >= 2 else { return shape.reduce(1, *) }
        return shape.dropLast().reduce(1, *) + shape.dropLast(2).reduce(1, *) * shape[shape.count - 1]
    }

    /// Names and tensors for files.
    var parts: [(name: String, tensor: Tensor)] { [("rows", rows)] + (columns.map { [("columns", $0)] } ?? []) }

    /// Follows a gradient, and gives the update for a rate of 1.
    ///
    /// - Parameters:
    ///   - gradient: float32, in the parameter's shape.
    ///   - step: from 1.
    func update(_ gradient: Tensor, step: Int) throws -> Tensor {
        let fresh = pow(Double(step), -0.8)
        let squares = try gradient.square() + 1e-30
        func follow(_ mean: Tensor, _ new: Tensor) throws {
            try mean.multiplyInPlace(1 - fresh)
            try mean.addInPlace(new, scale: fresh)
        }
        let update: Tensor
        if let columns {
            try follow(rows, squares.mean([-1]))
            try follow(columns, squares.mean([-2]))
            let shares = try rows / rows.mean([-1], keepDimensions: true)
            update = try shares.rsqrt().unsqueeze(-1) * columns.rsqrt().unsqueeze(-2) * gradient
        } else {
            try follow(rows, squares)
            update = try rows.rsqrt() * gradient
        }
        let size = try update.norm().item() / Double(max(1, update.count)).squareRoot()
        return size > 1 ? try update * (1 / size) : update
    }
}
