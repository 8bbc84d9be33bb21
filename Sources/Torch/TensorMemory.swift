internal import CTorch

/// The bytes of tensors. Those on GPUs are known to their allocator; those on the CPU are counted where they are
/// allocated: exact, unlike the resident size of the process, which depends on what the system's allocator keeps.
public enum TensorMemory {
    /// Whether tensors that are made count, by whatever thread. Those that were made before never do.
    public static func count(_ isCounting: Bool) { ct_count_memory(isCounting) }

    /// What counted tensors hold now.
    public static var held: Int { Int(ct_counted_memory()) }

    /// What they held at most since `resetPeak`.
    public static var peak: Int { Int(ct_peak_memory()) }

    public static func resetPeak() { ct_reset_peak() }

    /// The same of any device: what its tensors hold now, and held at most since `resetPeak(on:)`. Nil where nothing counts:
    /// on the CPU that is known only of tensors that were made while `count` was on.
    public static func use(on device: Device) -> (held: Int, peak: Int)? {
        if device == .cpu { return (held, peak) }
        var held: Int64 = 0, peak: Int64 = 0
        return ct_device_memory(device.raw, &held, &peak) ? (Int(held), Int(peak)) : nil
    }

    public static func resetPeak(on device: Device) {
        if device == .cpu { resetPeak() } else { ct_device_reset_peak(device.raw) }
    }
}
