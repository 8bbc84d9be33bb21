import CStandInDevice
import Testing
import Torch

/// The device of tests does what a GPU does, as far as its tests rely on it.
@Suite(.enabled(if: stand_in_device_is_there())) struct StandInDeviceTests {
    @Test func computesAndGoesBack() throws {
        let here = try Tensor([1, 2, 3, 4, 5, 6] as [Float], shape: [2, 3])
        func gradient(_ device: Device) throws -> [Float] {
            let x = try here.to(device)
            try x.setRequiresGradient(true)
            let y = try x.linear(x.slice(0, 0..<1).detach()).square().sum() + x.transpose(0, 1).contiguous().mean()
            #expect(y.device == device)
            try y.backward()
            let found = try #require(x.gradient)
            #expect(found.device == device)
            return try found.to(.cpu).floats()
        }
        #expect(try gradient(.mps) == gradient(.cpu))
    }

    @Test func knowsWhatItHolds() throws {
        let before = try #require(TensorMemory.use(on: .mps)).held
        // Much more than other tests hold at the same time.
        let x = try Tensor.empty([1 << 26], device: .mps)
        let after = try #require(TensorMemory.use(on: .mps))
        #expect(abs(after.held - before - x.byteCount) < x.byteCount / 4 && after.peak >= after.held)
        #expect(TensorMemory.use(on: .meta) == nil && TensorMemory.use(on: .cuda(0)) == nil)
        try Engine.synchronize(.mps)
    }

    @Test func refusesToMix() throws {
        let here = try Tensor([1, 2] as [Float]), there = try here.to(.mps)
        let error = try #require(throws: TorchError.self) { try here + there }
        #expect(error.description.contains("on the same device"))
        // A single number may come from anywhere.
        #expect(try (there * Tensor.scalar(2)).to(.cpu).floats() == [2, 4])
    }

    /// Gradients go back on the caller's thread, so that what is kept by thread and task is there in custom backwards.
    @Test func customBackwardsSeeTheCallersValues() throws {
        let x = try Tensor([1] as [Float]).to(.mps)
        try x.setRequiresGradient(true)
        try Kept.$value.withValue(7) {
            let y = try customFunction(inputs: [x]) {
                [try x * 2]
            } backward: { gradients in
                #expect(Kept.value == 7)
                return gradients
            }
            try y[0].sum().backward()
        }
        #expect(try x.gradient?.to(.cpu).floats() == [1])
    }

    /// libtorch looks for CUDA once: nothing that comes before the library is opened may ask.
    @Test func cudaIsAskedForWhenItIsOpen() async {
        await #expect(processExitsWith: .success) {
            #expect(!Device.cuda(0).isAvailable && Engine.loadCUDA() != nil)
            Engine.threads = 2
            let x = try RandomGenerator(seed: 1).normal([4, 4])
            let shapes = try x.to(.meta).matmul(x.to(.meta)).shape
            #expect(try x.matmul(x).sum().item().isFinite && shapes == [4, 4])
            #expect(stand_in_device_opens_cuda())
            #expect(Device.cuda(0).isAvailable)
        }
    }

    private enum Kept {
        @TaskLocal static var value = 0
    }
}
