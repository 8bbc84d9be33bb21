#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// How fast something goes lately: a mean in which what is 15 seconds old counts a third.
struct Speed {
    private static let memory = 15.0
    private var last: (done: Int, time: Double)?
    private var mean = 0.0
    private var weight = 0.0

    /// Notes that `done` were done at `time`, in seconds.
    mutating func record(done: Int, at time: Double) {
        guard let last else {
            self.last = (done, time)
            return
        }
        let span = time - last.time
        guard span > 0 else { return }
        let keep = exp(-span / Self.memory)
        mean = keep * mean + (1 - keep) * Double(done - last.done) / span
        // Divided out again, or the first seconds would count as if there had been standstill before.
        weight = keep * weight + (1 - keep)
        self.last = (done, time)
    }

    /// Per second; `nil` before the second note.
    var perSecond: Double? { weight > 0 ? max(0, mean / weight) : nil }
}

/// The memory of this process that is in use, in bytes.
public func residentMemory() -> Int? {
    #if canImport(Darwin)
        var info = mach_task_basic_info()
        var count = mach_msg_type_number_t(MemoryLayout<mach_task_basic_info>.size / 4)
        let status = withUnsafeMutablePointer(to: &info) { pointer in
            pointer.withMemoryRebound(to: integer_t.self, capacity: Int(count)) {
                task_info(mach_task_self_, task_flavor_t(MACH_TASK_BASIC_INFO), $0, &count)
            }
        }
        return status == KERN_SUCCESS ? Int(info.resident_size) : nil
    #else
        guard let file = fopen("/proc/self/statm", "re") else { return nil }
        defer { fclose(file) }
        var text = [CChar](repeating: 0, count: 128)
        guard fgets(&text, Int32(text.count), file) != nil else { return nil }
        // The second number: resident pages.
        let fields = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self).split(
            separator: " ")
        return fields.count > 1 ? Int(fields[1]).map { $0 * Int(getpagesize()) } : nil
    #endif
}
