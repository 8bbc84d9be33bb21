public import NN
public import Torch

/// Turns token positions into the rotation of queries and keys.
public struct RotaryPositions: Sendable {
    private let frequencies: [Float]
    /// For each frequency, which of the three positions it takes.
    private let component: [Int]

    public init(_ configuration: DecoderConfiguration) {
        frequencies = inverseFrequencies(base: configuration.ropeBase, size: configuration.headSize)
        switch configuration.positions {
        case .rope: component = Array(repeating: 0, count: frequencies.count)
        case .multimodal(let sections):
            component = sections.enumerated().flatMap { Array(repeating: $0.offset, count: $0.element) }
        }
        precondition(component.count == frequencies.count, "sections do not fill half a head")
    }

    /// `[tokens, head size / 2]` cosines and sines.
    public func table(for positions: [SIMD3<Int32>], device: Device) throws -> RotaryTable {
        let size = frequencies.count
        let angles = [Float](unsafeUninitializedCapacity: positions.count * size) { buffer, count in
            for (row, position) in positions.enumerated() {
                for index in 0..<size {
                    buffer[row * size + index] = Float(position[component[index]]) * frequencies[index]
                }
            }
            count = positions.count * size
        }
        return try RotaryTable(angles: Tensor(angles, shape: [positions.count, size]).to(device))
    }
}
