import Foundation
import Safetensors
import TestSupport
import Testing

private var tensors: [TensorSource] {
    [
        TensorSource(name: "b", dtype: .f32, shape: [2, 3], values: (0..<6).map(Float.init)),
        TensorSource(name: "flag", dtype: .bool, shape: [], values: [UInt8(1)]),
        TensorSource(name: "a \"quoted\" 🙂", dtype: .f32, shape: [1], values: [Float.nan]),
        TensorSource(name: "ids", dtype: .i64, shape: [3], values: [1, -2, Int.max]),
        TensorSource(name: "none", dtype: .bf16, shape: [0, 4], values: [UInt16]()),
    ]
}

@Suite struct WriterTests {
    @Test func whatIsWrittenReadsBack() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("model.safetensors")
        try SafetensorsWriter.write(path: path, tensors: tensors, metadata: ["format": "pt", "line\n": "\u{1}\"\\"])
        let file = try SafetensorsFile(path: path)
        #expect(file.metadata == ["format": "pt", "line\n": "\u{1}\"\\"])
        #expect(file.names == ["ids", "a \"quoted\" 🙂", "b", "none", "flag"])
        #expect(file.header.dataStart % 8 == 0)
        for tensor in tensors {
            let entry = try file.entry(tensor.name)
            #expect(entry.dtype == tensor.dtype && entry.shape == tensor.shape && entry.isAligned)
            var expected: [UInt8] = []
            try tensor.provide { expected.append(contentsOf: $0) }
            #expect(try file.copy(of: tensor.name).elementsEqual(expected))
        }
        #expect(folder.names == ["model.safetensors"])
        let error = #expect(throws: SafetensorsError.self) { try file.copy(of: "absent") }
        #expect(error?.reason == .missingTensor && error?.tensor == "absent")
    }

    @Test func theReferencesFilesAreWrittenAgainByteForByte() throws {
        guard Fixtures.has("qwen2_text_tied/model.safetensors") else { return }
        let path = try Fixtures.path("qwen2_text_tied/model.safetensors")
        let file = try SafetensorsFile(path: path)
        let sources = try file.names.map { name in
            let entry = try file.entry(name)
            return TensorSource(name: name, dtype: entry.dtype, shape: entry.shape) { try file.withBytes(of: name, $0) }
        }
        let folder = try TemporaryFolder()
        let copy = folder.path("copy.safetensors")
        try SafetensorsWriter.write(path: copy, tensors: sources.shuffled(), metadata: file.metadata)
        #expect(try Data(contentsOf: URL(filePath: copy)) == Data(contentsOf: URL(filePath: path)))
    }

    @Test func savingOverAMappedFileLeavesTheOldViews() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("model.safetensors")
        func save(_ value: UInt8) throws {
            try SafetensorsWriter.write(
                path: path,
                tensors: [
                    .init(name: "w", dtype: .u8, shape: [100_000], bytes: .init(repeating: value, count: 100_000))
                ])
        }
        try save(1)
        let old = try SafetensorsFile(path: path)
        let view = try old.bytes(of: "w")
        try save(2)
        withExtendedLifetime(old) { #expect(view.allSatisfy { $0 == 1 }) }
        #expect(try SafetensorsFile(path: path).copy(of: "w").allSatisfy { $0 == 2 })
        // Over itself, from its own mapping.
        try SafetensorsWriter.write(
            path: path, tensors: [.init(name: "w", dtype: .u8, shape: [100_000]) { try old.withBytes(of: "w", $0) }])
        #expect(try SafetensorsFile(path: path).copy(of: "w").allSatisfy { $0 == 1 })
    }

    @Test func writingIntoTheMappingNeverReachesTheFile() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("x.safetensors", fileImage("{\(entry("a", "U8", "[8]", "[0,8]"))}", data: 8))
        let file = try SafetensorsFile(path: path)
        try file.withBytes(of: "a") { UnsafeMutableRawBufferPointer(mutating: $0)[0] = 200 }
        #expect(try file.copy(of: "a").first == 200)
        #expect(try SafetensorsFile(path: path).copy(of: "a")[0] == 0)
    }

    @Test func impossibleTensorsAreRefusedBeforeAnythingIsWritten() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("x.safetensors")
        func reason(_ tensors: [TensorSource]) -> String? {
            do {
                try SafetensorsWriter.write(path: path, tensors: tensors)
                return nil
            } catch { return (error as? SafetensorsError).map { caseName($0.reason) } ?? "\(error)" }
        }
        func one(_ name: String = "a", _ dtype: StoredDType = .u8, _ shape: [Int] = [1], _ count: Int = 1)
            -> TensorSource
        {
            .init(name: name, dtype: dtype, shape: shape, bytes: .init(repeating: 0, count: count))
        }
        #expect(reason([one(), one()]) == "nameTwice")
        #expect(reason([one("")]) == "unusableName")
        #expect(reason([one("__metadata__")]) == "unusableName")
        #expect(reason([one("../a")]) == "unusableName")
        #expect(reason([one("a", .u8, [-1])]) == "shapeOverflow")
        #expect(reason([one("a", .u8, [.max, 2])]) == "shapeOverflow")
        #expect(reason([one("a", .f4, [3])]) == "partialByte")
        #expect(reason([one("a", .u8, [2], 1)]) == "providedBytes")
        #expect(reason([one("a", .u8, [2], 3)]) == "providedBytes")
        #expect(folder.names.isEmpty)
    }

    @Test func shardsHoldEveryTensorOnce() throws {
        let folder = try TemporaryFolder()
        let many = (0..<10).map {
            TensorSource(name: "t\($0)", dtype: .u8, shape: [100], bytes: .init(repeating: UInt8($0), count: 100))
        }
        let big = TensorSource(name: "big", dtype: .u8, shape: [1000], bytes: .init(repeating: 9, count: 1000))
        try folder.write("other.safetensors", [1])
        try SafetensorsWriter.writeCheckpoint(directory: folder.path, tensors: many + [big])
        #expect(folder.names == ["model.safetensors", "other.safetensors"])
        let names = try SafetensorsWriter.writeCheckpoint(
            directory: folder.path, tensors: many + [big], maxShardSize: 350)
        #expect(names.count == 6 && names[0] == "model-00001-of-00005.safetensors")
        #expect(folder.names == (names + ["other.safetensors"]).sorted())
        let checkpoint = try SafetensorsCheckpoint(directory: folder.path)
        #expect(checkpoint.tensors.count == 11 && checkpoint.names.count == 11 && checkpoint.byteCount == 2000)
        for index in 0..<10 {
            #expect(try checkpoint.location("t\(index)").file.copy(of: "t\(index)").allSatisfy { $0 == UInt8(index) })
        }
        try SafetensorsWriter.writeCheckpoint(directory: folder.path, tensors: many)
        #expect(folder.names == ["model.safetensors", "other.safetensors"])
    }
}
