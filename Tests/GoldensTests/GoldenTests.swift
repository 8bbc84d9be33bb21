import Foundation
import Goldens
import Hashing
import Safetensors
import TestSupport
import Testing

/// A folder with one golden of each kind, made here.
private struct Made {
    let folder: TemporaryFolder
    let golden: GoldenFolder
    let values: [Float]
    static let shape = [4, 25]

    init(break edit: (inout [String: Any]) -> Void = { _ in }) throws {
        folder = try TemporaryFolder()
        var random = SeededGenerator(7)
        let values = (0..<100).map { _ in Float.random(in: -1...1, using: &random) }
        let ids = [3, 1, 2]
        let sample = stride(from: 0, to: 100, by: 7).map { values[$0] }
        let best = (0..<4).map { row in (0..<25).max { values[row * 25 + $0] < values[row * 25 + $1] } ?? 0 }
        let doubles = values.map(Double.init)
        var close: [String: Any] = [
            "shape": Self.shape, "dtype": "float32", "compare": "allclose", "atol": 1e-4, "rtol": 1e-3,
            "sum": doubles.reduce(0, +), "l2": doubles.reduce(0) { $0 + $1 * $1 }.squareRoot(),
            "absmax": doubles.map(abs).max() ?? 0,
        ]
        let whole = close
        close["sampled"] = true
        close["sample_step"] = 7
        edit(&close)
        let tensors: [String: Any] = [
            "logits": close, "hidden": whole,
            "ids": [
                "shape": [3], "dtype": "int64", "compare": "exact", "sha256": ids.withUnsafeBytes { sha256($0) },
            ],
        ]
        try folder.write(
            "golden.json", JSONSerialization.data(withJSONObject: ["tensors": tensors, "cases": ["x": ["ids": ids]]]))
        try SafetensorsWriter.write(
            path: folder.path("golden.safetensors"),
            tensors: [
                .init(name: "logits.sample", dtype: .f32, shape: [sample.count], values: sample),
                .init(name: "logits.last_row", dtype: .f32, shape: [25], values: Array(values[75...])),
                .init(name: "logits.argmax", dtype: .i64, shape: [4], values: best),
                .init(name: "hidden", dtype: .f32, shape: Self.shape, values: values),
                .init(name: "ids", dtype: .i64, shape: [3], values: ids),
            ])
        self.values = values
        golden = try GoldenFolder(path: folder.path)
    }
}

@Suite struct GoldenTests {
    @Test func theSameValuesHoldAndNearOnesToo() throws {
        let made = try Made()
        for name in ["logits", "hidden"] {
            let same = try made.golden.compare(name, made.values, shape: Made.shape)
            #expect(same.holds && same.maximumDifference == 0 && same.tiedRows == 0, "\(same)")
            let near = try made.golden.compare(name, made.values.map { $0 + 0.00009 }, shape: Made.shape)
            #expect(near.holds && near.maximumDifference > 0.00008 && near.worstShare < 1, "\(near)")
        }
        #expect(made.golden.json["cases"]["x"]["ids"].ints == [3, 1, 2])
        #expect(try made.golden.compare("ids", [3, 1, 2], shape: [3]).holds)
    }

    @Test func oneWrongElementFailsAndIsNamed() throws {
        let made = try Made()
        var values = made.values
        values[30] += 0.01
        let report = try made.golden.compare("hidden", values, shape: Made.shape)
        #expect(!report.holds && report.worstIndex == [1, 5], "\(report)")
        #expect(report.description.contains("1 of 100 elements differ"))
        for bad in [Float.nan, .infinity] {
            values[30] = bad
            #expect(try !made.golden.compare("hidden", values, shape: Made.shape).holds)
            #expect(try !made.golden.compare("logits", values, shape: Made.shape).holds, "\(bad) between the samples")
        }
        // Between the samples, so large that the sums show it.
        values[30] = made.values[30] + 1
        let between = try made.golden.compare("logits", values, shape: Made.shape)
        #expect(!between.holds && between.maximumDifference == 0, "\(between)")
    }

    @Test func theLastRowAndTheLargestElementsAreCompared() throws {
        let made = try Made()
        var values = made.values
        values[99] += 0.01
        #expect(
            try made.golden.compare("logits", values, shape: Made.shape).faults.contains { $0.hasPrefix("last row") })
        values = made.values
        values[26] = 1.2
        #expect(try made.golden.compare("logits", values, shape: Made.shape).faults.contains { $0.hasPrefix("row 1:") })
    }

    @Test func shapesTypesAndExactnessAreWatched() throws {
        let made = try Made()
        #expect(try !made.golden.compare("hidden", made.values, shape: [25, 4]).holds)
        #expect(try !made.golden.compare("hidden", Array(made.values.dropLast()), shape: Made.shape).holds)
        #expect(try !made.golden.compare("ids", [3, 1, 3], shape: [3]).holds)
        #expect(throws: GoldenError.self) { try made.golden.compare("absent", [1], shape: [1]) }
        #expect(throws: GoldenError.self) { try made.golden.floats("logits") }
        let halves = made.values.map { UInt16($0.bitPattern >> 16) }
        let strict = try halves.withUnsafeBytes {
            try made.golden.compare("hidden", bytes: $0, dtype: .bf16, shape: Made.shape)
        }
        #expect(!strict.holds)
        let loose = try halves.withUnsafeBytes {
            try made.golden.compare(
                "hidden", bytes: $0, dtype: .bf16, shape: Made.shape, rule: .close(absolute: 0, relative: 0x1p-7))
        }
        #expect(loose.holds, "\(loose)")
    }

    @Test func spoiledGoldensAreRefused() throws {
        #expect(throws: GoldenError.self) { try Made { $0["compare"] = "nearly" } }
        #expect(throws: GoldenError.self) { try Made { $0["dtype"] = "float33" } }
        #expect(throws: GoldenError.self) { try Made { $0["shape"] = [-1] } }
        #expect(throws: GoldenError.self) { try Made { $0["sample_step"] = 0 } }
        #expect(throws: GoldenError.self) { try Made { $0["atol"] = nil } }
    }

    @Test func halvesAreDecoded() throws {
        let folder = try TemporaryFolder()
        let bits: [UInt16] = [0, 0x3C00, 0xC000, 0x0001, 0x7BFF, 0x7C00, 0x3555]
        let expected: [Double] = [0, 1, -2, 0x1p-24, 65504, .infinity, 0.333251953125]
        try folder.write("golden.json", #"{"tensors":{"h":{"shape":[7],"dtype":"float16","compare":"exact"}}}"#.utf8)
        try SafetensorsWriter.write(
            path: folder.path("golden.safetensors"),
            tensors: [.init(name: "h", dtype: .f16, shape: [7], values: bits)])
        let golden = try GoldenFolder(path: folder.path)
        #expect(try golden.doubles("h") == expected)
    }

    /// Every stored golden holds against itself, and its digest is right: the goldens at hand are whole.
    @Test func theGoldensAtHandAreWhole() throws {
        let roots = [Fixtures.shared, Fixtures.goldens].compactMap { $0 }
        var compared = 0
        for root in roots {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: root.path)) ?? []
            for name in names.sorted() where FileManager.default.fileExists(atPath: "\(root.path)/\(name)/golden.json")
            {
                let folder = try GoldenFolder(path: "\(root.path)/\(name)")
                for (tensor, golden) in folder.tensors where golden.sampleStep == nil {
                    let bytes = try folder.bytes(of: tensor)
                    if let digest = golden.sha256 { #expect(sha256(bytes) == digest, "\(name) \(tensor)") }
                    let report = try folder.compare(tensor, bytes: bytes, dtype: golden.dtype, shape: golden.shape)
                    #expect(report.holds && report.maximumDifference == 0, "\(name): \(report)")
                    compared += 1
                }
                withExtendedLifetime(folder) {}
            }
        }
        #expect(compared > 0 || Fixtures.shared == nil)
    }
}
