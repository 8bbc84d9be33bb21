import Foundation
import Safetensors
import TestSupport
import Testing

@testable import Torch

@Suite("Matrices in 4 bits")
struct QuantizedMatrixTests {
    private func golden(_ name: String) throws -> (entry: TensorEntry, data: Data) {
        let file = try SafetensorsFile(path: Fixtures.goldens.appending(path: "nf4_small/golden.safetensors").path)
        return (try file.entry(name), Data(try file.bytes(of: name)))
    }

    private func tensor(_ name: String) throws -> Tensor {
        let (entry, data) = try golden(name)
        return try data.withUnsafeBytes { try Tensor.copying($0, shape: entry.shape, dtype: .float32) }
    }

    @Test("Codes are bitsandbytes' own, and values come back as its do")
    func parity() throws {
        let matrix = try QuantizedMatrix(tensor("matrix"))
        #expect(try matrix.packed.bytes() == golden("packed").data)
        let values = try matrix.values(), expected = try tensor("values")
        #expect(values.shape == [130, 131] && values.dtype == .float32)
        let difference = try (values - expected).abs().amax().item(), size = try expected.abs().amax().item()
        #expect(difference < 1e-6 * size, "\(difference) of \(size)")
        // A row of nothing, which shares blocks with its neighbours, stays nothing.
        #expect(try values.select(0, 5).abs().amax().item() == 0)
        #expect(try (values - tensor("matrix")).abs().amax().item() > 0.1)
        #expect(matrix.byteCount < 130 * 131 * 17 / 32)
    }

    @Test(
        "In bf16 they are the same values, rounded; a matrix of one value is exact", arguments: [1, 63, 64, 65, 20001])
    func rounding(_ count: Int) throws {
        let numbers = try RandomGenerator(seed: UInt64(count)).normal([1, count]).to(.bfloat16)
        let rough = try QuantizedMatrix(numbers).values(), fine = try QuantizedMatrix(numbers.to(.float32)).values()
        #expect(rough.dtype == .bfloat16)
        #expect(try rough.isEqual(to: fine.to(.bfloat16)))
        let constant = try QuantizedMatrix(Tensor.full([1, count], -2.5)).values()
        #expect(try (constant + 2.5).abs().amax().item() < 1e-6)
    }

    @Test("Products and gradients are those of the values, which are not kept", arguments: [DType.float32, .bfloat16])
    func products(_ dtype: DType) throws {
        let random = try RandomGenerator(seed: 2)
        let matrix = try QuantizedMatrix(random.normal([48, 80]).to(dtype)), values = try matrix.values()
        let bias = try random.normal([48]).to(dtype), weighting = try random.normal([7, 48]).to(dtype)
        func run(_ body: (Tensor) throws -> Tensor) throws -> (Tensor, Tensor) {
            let x = try RandomGenerator(seed: 3).normal([7, 80]).to(dtype)
            try x.setRequiresGradient(true)
            let y = try body(x)
            let gradient = try Tensor.gradients(of: [y], weightedBy: [weighting], for: [x])[0]
            return (try y.detach(), try #require(gradient))
        }
        let (y, gradient) = try run { try $0.linear(matrix, bias) }
        let (expected, expectedGradient) = try run { try $0.linear(values, bias) }
        // Where nothing is recorded other kernels run, which round otherwise.
        #expect(try (y - expected).abs().amax().item() < (dtype == .float32 ? 1e-5 : 0.1))
        #expect(try (gradient - expectedGradient).abs().amax().item() < (dtype == .float32 ? 1e-5 : 0.1))
        // A bias that learns gets its gradient.
        try bias.setRequiresGradient(true)
        let output = try Tensor.ones([2, 80], dtype: dtype).linear(matrix, bias)
        let sums = try Tensor.gradients(of: [output], weightedBy: [.ones([2, 48], dtype: dtype)], for: [bias])
        #expect(try #require(sums[0]).doubles() == [Double](repeating: 2, count: 48))
    }

    @Test("What is no float matrix is refused")
    func refusals() throws {
        #expect(throws: TorchError.self) { try QuantizedMatrix(Tensor([1, 2, 3])) }
        #expect(throws: TorchError.self) { try QuantizedMatrix(Tensor.empty([0, 3])) }
        #expect(throws: TorchError.self) { try QuantizedMatrix(Tensor.empty([2, 3], device: .meta)) }
    }
}
