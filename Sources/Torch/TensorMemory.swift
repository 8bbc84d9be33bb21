internal import CTorch

/// The bytes of tensors on the CPU, counted where they are allocated: exact, unlike the resident size of the process,
/// which depends on what the system's allocator keeps.
public enum TensorMemory {
    /// Whether tensors that are made count, by whatever thread. Those that were made before never do.
    public static func count(_ isCounting: Bool) { ct_count_memory(isCounting) }

    /// What counted tensors hold now.
    public static var held: Int { Int(ct_counted_memory()) }

    /// What they held at most since `resetPeak`.
    public static var peak: Int { Int(ct_peak_memory()) }

    public static func resetPeak() { ct_reset_peak() }
}
