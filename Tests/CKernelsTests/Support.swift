import CKernels
import Foundation
import Testing

/// All tests of the kernels.
@Suite enum KernelTests {}

/// Every level that this machine can run, strongest last.
let levels: [ck_level] = {
    let all = [CK_LEVEL_PORTABLE, CK_LEVEL_AVX2, CK_LEVEL_AVX512_BF16]
    let best = ck_features()
    return all.filter { $0.rawValue <= best.rawValue }
}()

/// Runs `body` at each level in turn and puts the best one back, for this thread alone: other suites train meanwhile.
func atEveryLevel(_ body: (String) throws -> Void) rethrows {
    defer { ck_limit_features(levels.last ?? CK_LEVEL_PORTABLE) }
    for level in levels {
        ck_limit_features(level)
        try body(String(cString: ck_level_name(level)))
    }
}

/// SplitMix64: the same numbers in every run.
struct Random: RandomNumberGenerator {
    var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// Standard normal.
    mutating func normal() -> Float {
        let u = Double.random(in: 1e-12..<1, using: &self), v = Double.random(in: 0..<1, using: &self)
        return Float((-2 * log(u)).squareRoot() * cos(2 * .pi * v))
    }
}

/// Elements that lie against a page that may not be touched, so that a read or write past their end stops the test.
final class Guarded<Element> {
    let count: Int
    let pointer: UnsafeMutablePointer<Element>
    private let base: UnsafeMutableRawPointer
    private let length: Int

    /// `atStart` puts the elements right behind the forbidden page instead of right before it.
    init(_ elements: [Element], atStart: Bool = false) {
        count = elements.count
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let bytes = elements.count * MemoryLayout<Element>.stride
        let pages = (bytes + page - 1) / page
        length = (pages + 2) * page
        let map = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0)
        guard let map, map != MAP_FAILED else { fatalError("no memory for a test") }
        base = map
        mprotect(map, page, PROT_NONE)
        mprotect(map + (pages + 1) * page, page, PROT_NONE)
        let start = atStart ? map + page : map + (pages + 1) * page - bytes
        pointer = start.bindMemory(to: Element.self, capacity: Swift.max(1, elements.count))
        pointer.initialize(from: elements, count: elements.count)
    }

    deinit { munmap(base, length) }

    subscript(index: Int) -> Element {
        get { pointer[index] }
        set { pointer[index] = newValue }
    }

    var elements: [Element] { Array(UnsafeBufferPointer(start: pointer, count: count)) }
}

typealias Halves = Guarded<UInt16>
typealias Singles = Guarded<Float>

func bfloat16(_ value: Float) -> UInt16 {
    if value.isNaN { return UInt16(truncatingIfNeeded: value.bitPattern >> 16) | 0x40 }
    let bits = value.bitPattern
    return UInt16(truncatingIfNeeded: (bits &+ 0x7fff &+ (bits >> 16 & 1)) >> 16)
}

func float(_ bits: UInt16) -> Float { Float(bitPattern: UInt32(bits) << 16) }

func rounded(_ value: Float) -> Float { float(bfloat16(value)) }

extension Guarded where Element == UInt16 {
    /// Normal bf16 numbers of the given deviation.
    static func normal(_ count: Int, _ random: inout Random, scale: Float = 1, atStart: Bool = false) -> Guarded {
        Guarded((0..<count).map { _ in bfloat16(random.normal() * scale) }, atStart: atStart)
    }

    /// A pattern that no kernel should produce, to see what was not written.
    static func untouched(_ count: Int) -> Guarded { Guarded([UInt16](repeating: 0x5A5A, count: count)) }
}

extension Guarded where Element == Float {
    static func normal(_ count: Int, _ random: inout Random, scale: Float = 1, atStart: Bool = false) -> Guarded {
        Guarded((0..<count).map { _ in random.normal() * scale }, atStart: atStart)
    }

    static func untouched(_ count: Int) -> Guarded { Guarded([Float](repeating: 1234.5, count: count)) }
}

/// Whether a bf16 result lies within `units` of rounding of the exact value, plus the error `slack` of its fp32 sum.
func isClose(_ bits: UInt16, _ exact: Double, units: Double = 0.51, slack: Double) -> Bool {
    let value = Double(float(bits))
    if exact.isNaN || value.isNaN { return exact.isNaN && value.isNaN }
    if exact.isInfinite || value.isInfinite { return exact == value }
    return abs(value - exact) <= units * abs(exact) / 128 + slack
}

/// Cuts [0, count) in random places, for showing that shares do not matter.
func cuts(_ count: Int, _ random: inout Random) -> [Range<Int>] {
    var edges = [0, count]
    for _ in 0..<3 { edges.append(Int.random(in: 0...count, using: &random)) }
    edges.sort()
    return zip(edges, edges.dropFirst()).map { $0..<$1 }
}
