internal import CTorch
internal import Foundation

/// The engine as a whole: its version, threads and devices.
public enum Engine {
    public static var version: String { String(cString: ct_version()) }

    /// Threads of one operation on the CPU. Set it before other threads touch tensors.
    public static var threads: Int {
        get { Int(ct_threads()) }
        set { ct_set_threads(Int32(max(1, newValue))) }
    }

    /// Prefers kernels that give the same bits each time.
    public static func setDeterministic(_ value: Bool) { ct_set_deterministic(value) }

    /// Opens the CUDA part of libtorch. Nil when a GPU can be used now, otherwise the reason why not.
    public static func loadCUDA() -> String? {
        var reason: UnsafeMutablePointer<CChar>?
        if ct_load_cuda(&reason) { return nil }
        defer { free(reason) }
        return reason.map { String(cString: $0) } ?? "unknown reason"
    }

    /// Waits until the device has done what it was given.
    public static func synchronize(_ device: Device) throws {
        try run("synchronize", []) { ct_synchronize(device.raw, $0) }
    }

    /// The device to use for a name from the command line: `auto` takes a GPU if there is one.
    public static func device(named name: String) throws -> Device {
        if name == "auto" {
            if loadCUDA() == nil { return .cuda(0) }
            return Device.mps.isAvailable ? .mps : .cpu
        }
        guard let device = Device(name: name), device != .meta else {
            throw TorchError(
                kind: .invalid, operation: "device",
                message: "unknown device '\(name)'; use auto, cpu, cuda, cuda:N or mps")
        }
        if case .cuda = device, let reason = loadCUDA() {
            throw TorchError(kind: .invalid, operation: "device", message: "no CUDA device can be used: \(reason)")
        }
        guard device.isAvailable else {
            throw TorchError(kind: .invalid, operation: "device", message: "this machine has no \(device)")
        }
        return device
    }
}
