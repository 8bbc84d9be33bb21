internal import Foundation
public import NN
public import Torch

/// Turns token positions into the rotation of queries and keys.
public struct RotaryPositions: Sendable {
    private let base: Double
    private let size: Int
    private let scaling: RotaryScaling
    /// For each frequency, which of the three positions it takes.
    private let component: [Int]
    private let fixed: [Float]

    public init(_ configuration: DecoderConfiguration) {
        base = configuration.ropeBase
        size = configuration.headSize
        scaling = configuration.rotaryScaling
        switch configuration.positions {
        case .rope: component = Array(repeating: 0, count: size / 2)
        case .multimodal(let sections):
            component = sections.enumerated().flatMap { Array(repeating: $0.offset, count: $0.element) }
        }
        precondition(component.count == size / 2, "sections do not fill half a head")
        fixed = scaling.frequencies(base: base, size: size, length: 0)
    }

    /// `[tokens, head size / 2]` cosines and sines.
    ///
    /// - Parameter lengths: of each sequence, by which scaled frequencies depend on it.
    public func table(
        for positions: [SIMD3<Int32>], segments: Segments, lengths: [Int], device: Device
    ) throws -> RotaryTable {
        precondition(lengths.count == segments.count, "one length for each sequence")
        let half = size / 2
        let angles = [Float](unsafeUninitializedCapacity: positions.count * half) { buffer, count in
            for sequence in 0..<segments.count {
                let frequencies =
                    scaling.dependsOnLength
                    ? scaling.frequencies(base: base, size: size, length: lengths[sequence]) : fixed
                for row in segments.range(sequence) {
                    for index in 0..<half {
                        buffer[row * half + index] = Float(positions[row][component[index]]) * frequencies[index]
                    }
                }
            }
            count = positions.count * half
        }
        let table = try RotaryTable(angles: Tensor(angles, shape: [positions.count, half]).to(device))
        let magnitude = scaling.magnitude
        return magnitude == 1
            ? table : RotaryTable(cosine: try table.cosine * magnitude, sine: try table.sine * magnitude)
    }
}
