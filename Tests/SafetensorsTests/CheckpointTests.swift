import Foundation
import Safetensors
import TestSupport
import Testing

/// An index that lies, made from an honest checkpoint of two shards (`a` in the first, `b` and `c` in the second).
struct IndexLie: Sendable, CustomStringConvertible {
    var description: String
    var reason: String
    var index: String?
    var remove: String?

    static func map(_ pairs: String, metadata: String = "{\"total_size\":12}") -> String {
        "{\"metadata\":\(metadata),\"weight_map\":{\(pairs)}}"
    }
}

private let honest = #""a":"m1.safetensors","b":"m2.safetensors","c":"m2.safetensors""#

let indexLies: [IndexLie] = [
    .init(description: "missing shard", reason: "missingShard", index: nil, remove: "m2.safetensors"),
    .init(
        description: "a shard that never was", reason: "missingShard",
        index: IndexLie.map(honest + #","d":"m3.safetensors""#)),
    .init(
        description: "tensor in two shards of the map", reason: "inTwoShards",
        index: IndexLie.map(honest + #","a":"m2.safetensors""#)),
    .init(
        description: "tensor in two shards of the disk", reason: "inTwoShards",
        index: IndexLie.map(honest + #","d":"m4.safetensors""#)),
    .init(
        description: "tensor absent from its shard", reason: "absentFromShard",
        index: IndexLie.map(honest + #","d":"m1.safetensors""#)),
    .init(
        description: "tensor in the other shard", reason: "absentFromShard",
        index: IndexLie.map(#""a":"m2.safetensors","b":"m1.safetensors","c":"m2.safetensors""#)),
    .init(
        description: "tensor not listed", reason: "notInIndex",
        index: IndexLie.map(#""a":"m1.safetensors","b":"m2.safetensors""#)),
    .init(
        description: "total size too large", reason: "totalSize",
        index: IndexLie.map(honest, metadata: "{\"total_size\":13}")),
    .init(
        description: "total size negative", reason: "totalSize",
        index: IndexLie.map(honest, metadata: "{\"total_size\":-12}")),
    .init(
        description: "climbing shard name", reason: "unsafeShardName",
        index: IndexLie.map(#""a":"../m1.safetensors""#)),
    .init(
        description: "absolute shard name", reason: "unsafeShardName",
        index: IndexLie.map(#""a":"/tmp/m1.safetensors""#)),
    .init(
        description: "shard in a folder", reason: "unsafeShardName",
        index: IndexLie.map(#""a":"x/m1.safetensors""#)),
    .init(description: "shard that is pickled", reason: "unsafeShardName", index: IndexLie.map(#""a":"m1.bin""#)),
    .init(
        description: "NUL in a shard name", reason: "unsafeShardName",
        index: IndexLie.map(#""a":"m1.safetensors\u0000.safetensors""#)),
    .init(description: "no map", reason: "invalidIndex", index: "{\"metadata\":{}}"),
    .init(description: "an empty map", reason: "invalidIndex", index: IndexLie.map("")),
    .init(description: "a number in the map", reason: "invalidIndex", index: IndexLie.map("\"a\":1")),
    .init(description: "cut off", reason: "invalidIndex", index: "{\"weight_map\":{"),
    .init(
        description: "nested too deeply", reason: "invalidIndex",
        index: "{\"x\":" + String(repeating: "[", count: 100_000)),
    .init(
        description: "the map twice", reason: "duplicateKey",
        index: "{\"weight_map\":{\(honest)},\"weight_map\":{\(honest)}}"),
]

@Suite struct CheckpointTests {
    private func folder(index: String) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        try folder.write("m1.safetensors", fileImage("{\(entry("a", "U8", "[4]", "[0,4]"))}", data: 4))
        try folder.write(
            "m2.safetensors",
            fileImage("{\(entry("b", "U8", "[4]", "[0,4]")),\(entry("c", "U8", "[4]", "[4,8]"))}", data: 8))
        try folder.write(
            "m4.safetensors",
            fileImage("{\(entry("c", "U8", "[4]", "[0,4]")),\(entry("d", "U8", "[4]", "[4,8]"))}", data: 8))
        try folder.write("model.safetensors.index.json", index.utf8)
        return folder
    }

    @Test(arguments: indexLies)
    func aLyingIndexIsRefused(_ lie: IndexLie) throws {
        let folder = try folder(index: lie.index ?? IndexLie.map(honest))
        if let name = lie.remove { try FileManager.default.removeItem(atPath: folder.path(name)) }
        let error = #expect(throws: SafetensorsError.self) { try SafetensorsCheckpoint(directory: folder.path) }
        #expect(error.map { caseName($0.reason) } == lie.reason, "\(String(describing: error))")
    }

    @Test func anHonestIndexIsAccepted() throws {
        for metadata in [
            "{\"total_size\":12}", "{\"total_size\":12.0}", "{}", "null", "{\"x\":[1,{\"y\":null}],\"total_size\":12}",
        ] {
            let folder = try folder(index: IndexLie.map(honest, metadata: metadata))
            let checkpoint = try SafetensorsCheckpoint(directory: folder.path)
            #expect(checkpoint.names == ["a", "b", "c"] && checkpoint.files.count == 2)
            #expect(try checkpoint.location("c").file.copy(of: "c").elementsEqual([4, 5, 6, 7]))
            #expect(throws: SafetensorsError.self) { try checkpoint.location("d") }
        }
    }

    @Test func aLenientReaderLeavesOutWhatIsNotListed() throws {
        let folder = try folder(index: IndexLie.map(#""b":"m2.safetensors""#, metadata: "{\"total_size\":1}"))
        #expect(throws: SafetensorsError.self) { try SafetensorsCheckpoint(directory: folder.path) }
        #expect(try SafetensorsCheckpoint(directory: folder.path, policy: .lenient).names == ["b"])
    }

    @Test(arguments: ["pytorch_model.bin", "consolidated.00.pth", "model.pt"])
    func pickledWeightsAreNamedAndNeverRead(file: String) throws {
        let folder = try TemporaryFolder()
        try folder.write(file, [0x80, 2])
        for path in [folder.path, folder.path(file)] {
            let error = #expect(throws: SafetensorsError.self) { try SafetensorsCheckpoint(directory: path) }
            #expect(error.map { caseName($0.reason) } == "pickleOnly")
            #expect(error?.description.contains("convert them to safetensors") == true)
        }
    }

    @Test func anEmptyFolderAndNoFolderAreTold() throws {
        let folder = try TemporaryFolder()
        let error = #expect(throws: SafetensorsError.self) { try SafetensorsCheckpoint(directory: folder.path) }
        #expect(error?.reason == .noCheckpoint(name: "model"))
        #expect(throws: FileSystemError.self) { try SafetensorsCheckpoint(directory: folder.path("absent")) }
    }

    @Test(.enabled(if: Fixtures.has("qwen2vl_tied_sharded")))
    func thePublishedLayoutsAreRead() throws {
        let sharded = try SafetensorsCheckpoint(directory: Fixtures.path("qwen2vl_tied_sharded"))
        #expect(sharded.files.count > 1 && sharded.tensors.count == sharded.names.count)
        let single = try SafetensorsCheckpoint(directory: Fixtures.path("qwen2vl"))
        #expect(single.files.count == 1 && !single.tensors.isEmpty)
        let file = try SafetensorsCheckpoint(directory: Fixtures.path("qwen2vl/model.safetensors"))
        #expect(file.names == single.names)
    }
}
