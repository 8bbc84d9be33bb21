import Testing
import Torch

@Suite struct TensorTests {
    @Test func valuesSurviveTheEngine() throws {
        let tensor = try Tensor([1, 2, 3, 4, 5, 6] as [Float], shape: [2, 3])
        #expect(tensor.shape == [2, 3])
        #expect(try tensor.transpose(0, 1).contiguous().values(Float.self) == [1, 4, 2, 5, 3, 6])
        #expect(try tensor.slice(1, 1..<3).values(Float.self) == [2, 3, 5, 6])
        #expect(try tensor.to(.int64).integers() == [1, 2, 3, 4, 5, 6])
        #expect(try (tensor * 2 + 1).floats() == [3, 5, 7, 9, 11, 13])
    }

    @Test(arguments: DType.allCases) func everyTypeRoundTrips(_ dtype: DType) throws {
        let tensor = try Tensor([0, 1, 1, 0] as [Int]).to(dtype)
        #expect(tensor.dtype == dtype)
        #expect(try tensor.bytes().count == 4 * dtype.size)
        #expect(try tensor.doubles() == [0, 1, 1, 0])
        #expect(DType(name: dtype.description) == dtype)
        #expect(DType(name: "torch." + dtype.longName) == dtype)
    }

    @Test func shapeMistakesAreTypedErrors() throws {
        let a = try Tensor.zeros([2, 3])
        let b = try Tensor.zeros([4, 5])
        let error = #expect(throws: TorchError.self) { try a.matmul(b) }
        #expect(error?.operation == "matmul")
        #expect(error?.arguments == ["[2, 3] f32", "[4, 5] f32"])
        #expect(error?.message.contains("\n") == false)
        #expect(throws: TorchError.self) { try Tensor([1, 2, 3] as [Float], shape: [2, 2]) }
        #expect(throws: TorchError.self) { try a.values(Int.self) }
        #expect(throws: TorchError.self) { try a.slice(5, 0..<1) }
        #expect(throws: TorchError.self) { try Tensor.empty([-1]) }
    }

    @Test func exhaustedMemoryIsTold() throws {
        let error = #expect(throws: TorchError.self) { try Tensor.empty([1 << 50]) }
        #expect(error?.kind == .outOfMemory)
    }

    /// Weights in mapped files lie at any multiple of their element's size.
    @Test(arguments: [DType.float32, .bfloat16], [[3, 32, 64], [1, 64, 200], [17, 64, 128], [100, 48, 96]])
    func productsDoNotDependOnAddresses(_ dtype: DType, _ sizes: [Int]) throws {
        let random = try RandomGenerator(seed: 1)
        let x = try random.normal([sizes[0], sizes[1]]).to(dtype),
            w = try random.normal([sizes[2], sizes[1]]).to(dtype)
        /// The same values, so many elements behind an aligned address.
        func moved(_ tensor: Tensor, by count: Int) throws -> Tensor {
            let room = try Tensor.empty([tensor.count + count], dtype: dtype)
            let place = try room.slice(0, count..<count + tensor.count).view(tensor.shape)
            try place.copy(from: tensor)
            return place
        }
        func products(_ x: Tensor, _ w: Tensor) throws -> [Tensor] {
            let y = try x.linear(w)
            return [y, try x.matmul(w.transpose(0, 1)), try y.matmul(w), try y.transpose(0, 1).matmul(x)]
        }
        let expected = try products(x, w)
        for offset in [1, 2, 3, 4, 8] {
            for (found, wanted) in try zip(products(x, moved(w, by: offset)), expected) {
                #expect(try found.isEqual(to: wanted))
            }
            for (found, wanted) in try zip(products(moved(x, by: offset), w), expected) {
                #expect(try found.isEqual(to: wanted))
            }
        }
    }

    @Test func memoryIsUsedInPlaceAndGivenBack() throws {
        final class Owner {
            let memory: UnsafeMutableBufferPointer<Float>
            let gone: () -> Void
            init(_ values: [Float], gone: @escaping () -> Void) {
                memory = .allocate(capacity: values.count)
                _ = memory.initialize(from: values)
                self.gone = gone
            }
            deinit {
                memory.deallocate()
                gone()
            }
        }
        var released = 0
        do {
            let owner = Owner([1, 2, 3, 4]) { released += 1 }
            let tensor = try Tensor.using(
                UnsafeRawBufferPointer(owner.memory), shape: [4], dtype: .float32, owner: owner)
            owner.memory[2] = 30
            #expect(try tensor.slice(0, 2..<4).values(Float.self) == [30, 4])
            #expect(released == 0)
        }
        #expect(released == 1)
    }

    @Test func metaTensorsHaveShapesOnly() throws {
        let weight = try Tensor.empty([100_000, 100_000], dtype: .bfloat16, device: .meta)
        let x = try Tensor.empty([3, 100_000], dtype: .bfloat16, device: .meta)
        #expect(try x.linear(weight).shape == [3, 100_000])
        #expect(weight.dataPointer == nil)
    }

    @Test func generatorsRepeatAndResume() throws {
        let first = try RandomGenerator(seed: 7)
        let second = try RandomGenerator(seed: 7)
        #expect(try first.normal([33]).isEqual(to: second.normal([33])))
        let state = try first.state()
        let next = try first.uniform([5])
        try second.setState(state)
        #expect(try second.uniform([5]).isEqual(to: next))
        #expect(try !RandomGenerator(seed: 8).normal([33]).isEqual(to: RandomGenerator(seed: 7).normal([33])))
    }

    @Test func reductionsAndSorting() throws {
        let x = try Tensor([3, 1, 2, 9, 7, 8] as [Float], shape: [2, 3])
        #expect(try x.sum().item() == 30)
        #expect(try x.mean([1]).floats() == [2, 8])
        #expect(try x.amax([0]).floats() == [9, 7, 8])
        #expect(try x.argmax(1).integers() == [0, 0])
        let (values, indices) = try x.topK(2)
        #expect(try values.floats() == [3, 2, 9, 8])
        #expect(try indices.integers() == [0, 2, 0, 2])
        #expect(try x.sorted(descending: true).values.floats() == [3, 2, 1, 9, 8, 7])
        #expect(try Tensor.cat([x, x], dimension: 1).shape == [2, 6])
        #expect(try x.split([1, 2], dimension: 1)[1].floats() == [1, 2, 7, 8])
    }

    @Test func addsAnotherTypeInPiecesAsInOne() throws {
        let random = try RandomGenerator(seed: 3)
        // More than one piece, and a rest.
        let sum = try random.normal([5, 300_001]), part = try random.normal([5, 300_001]).to(.bfloat16)
        let expected = try sum + part.to(.float32) * 0.5
        let column = try sum.slice(1, 0..<7).clone()
        try sum.addInPlace(part, scale: 0.5)
        #expect(try sum.isEqual(to: expected))
        // Views that do not lie in one go the engine's way.
        try sum.slice(1, 0..<7).addInPlace(part.slice(1, 0..<7), scale: -0.5)
        #expect(try (sum.slice(1, 0..<7) - column).abs().amax().item() < 1e-6)
    }
}
