import Foundation
import Safetensors
import TestSupport
import Testing

@Suite struct FuzzTests {
    /// Three files that are accepted, to be spoiled.
    static let seeds: [[UInt8]] = [
        fileImage("{\(entry("a"))}", data: 8),
        fileImage(
            "{\"__metadata__\":{\"format\":\"pt\"},\(entry("w", "BF16", "[2,2]", "[0,8]")),"
                + "\(entry("b", "U8", "[3]", "[8,11]")),\(entry("e", "F32", "[0]", "[8,8]"))}   ", data: 11),
        fileImage(
            "{"
                + (0..<6).map { entry("layers.\($0).\\u0041", "I64", "[1]", "[\($0 * 8),\($0 * 8 + 8)]") }
                .joined(separator: ",") + "}", data: 48),
    ]

    static let words = [
        "[", "]", "{", "}", ",", ":", "\"", "\\", "-", "0", "9", "1e9", "null", "\\u0000", "shape", "[0,8]", "F4",
        "I64",
        "18446744073709551615", " ",
    ].map { Array($0.utf8) }

    static func mutate(_ seed: [UInt8], _ random: inout SeededGenerator) -> [UInt8] {
        var bytes = seed
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            guard !bytes.isEmpty else { break }
            let place = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<7, using: &random) {
            case 0: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 1: bytes[place] = .random(in: 0...255, using: &random)
            case 2: bytes.removeSubrange(place...)
            case 3: bytes.remove(at: place)
            case 4: bytes.insert(contentsOf: words[Int.random(in: 0..<words.count, using: &random)], at: place)
            case 5:
                let other = seeds[Int.random(in: 0..<seeds.count, using: &random)]
                bytes.replaceSubrange(place..., with: other.dropFirst(Int.random(in: 0..<other.count, using: &random)))
            default:
                // A digit for a digit: what stays grammatical reaches the later checks.
                let digits = bytes.indices.filter { (0x30...0x39).contains(bytes[$0]) }
                guard let digit = digits.randomElement(using: &random) else { break }
                bytes[digit] = .random(in: 0x30...0x39, using: &random)
            }
        }
        // Half the time the length is set right, or nearly everything would fail at the start.
        if bytes.count >= 8, Bool.random(using: &random) {
            let end = bytes.lastIndex(of: 0x7D) ?? 8
            if end >= 8 {
                withUnsafeBytes(of: UInt64(end + 1 - 8).littleEndian) { bytes.replaceSubrange(0..<8, with: $0) }
            }
        }
        return bytes
    }

    /// Mutations a seed; `OMMA_FUZZ_ROUNDS=250000` makes the million of a release.
    static let rounds = ProcessInfo.processInfo.environment["OMMA_FUZZ_ROUNDS"].flatMap { Int($0) } ?? 10_000

    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func mutationsNeverTrapAndWhatIsAcceptedIsWrittenTheSame(seed: UInt64) {
        var random = SeededGenerator(seed)
        var accepted = 0
        var slowest = Duration.zero
        for round in 0..<Self.rounds {
            let bytes = Self.mutate(Self.seeds[round % Self.seeds.count], &random)
            let start = ContinuousClock.now
            if bytes.withUnsafeBytes({ fuzzSafetensors($0) }) { accepted += 1 }
            slowest = max(slowest, ContinuousClock.now - start)
        }
        // Some must pass, or the mutations never get behind the first check.
        #expect(accepted > Self.rounds / 100 && accepted < Self.rounds)
        #expect(slowest < .milliseconds(500), "\(slowest)")
    }

    @Test func theSeedsAreAccepted() {
        for seed in Self.seeds { #expect(seed.withUnsafeBytes { fuzzSafetensors($0) }) }
    }
}
