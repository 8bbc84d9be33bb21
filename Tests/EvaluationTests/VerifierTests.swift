import CStandInDevice
import Evaluation
import Foundation
import Goldens
import TestSupport
import Testing
import Torch

/// Parity: everything that `omma verify` is asked to hold, held.
@Suite(.serialized) struct VerifierTests {
    /// The repository's own folders in the fixtures' format.
    static let own = [
        "chat_templates", "clip_small", "images", "internvl2_llama3_small", "internvl2_phi3_small",
        "internvl2_yi_small", "qwen2_text_small", "qwen2vl_small", "qwen2vl_tied_sharded_small", "resize_small",
        "siglip_small", "smart_resize_small", "tokenizer_small",
    ]
    /// Folders in a format of their own, each with its own tests.
    static let others = [
        "adafactor_small", "dora_small", "image_formats", "lora_small", "muon_small", "nf4_small", "omma_nano",
        "tokenizers", "videos",
    ]
    /// What is verified of the shared fixtures, where they are there.
    static let shared = [
        "attention_pool", "avg_pool_connector", "c_abstractor", "chat_templates", "clip_vision",
        "flamingo_xattn_all_previous", "flamingo_xattn_immediate", "images", "internvl2_internlm2",
        "internvl2_qwen2", "internvl_tiling", "mllama_xattn_layer", "moe_top2", "navit", "nvlm_d", "nvlm_h",
        "nvlm_x", "perceiver_resampler", "points15", "qwen_vl", "qwen2_text_tied", "qwen2_text_untied", "qwen2vl",
        "qwen2vl_tied_sharded", "resize", "siglip_vision", "smart_resize", "tokenizer_internlm2",
        "tokenizer_internvl_qwen2", "tokenizer_qwen1", "tokenizer_qwen2vl",
    ]
    static let sharedThere = shared.filter { name in
        Fixtures.shared.map { FileManager.default.fileExists(atPath: $0.appending(path: name).path) } ?? false
    }

    @Test(arguments: own) func ownGoldensHold(_ name: String) throws {
        try check(Fixtures.goldens.appending(path: name))
    }

    @Test(arguments: sharedThere) func sharedFixturesHold(_ name: String) throws {
        try check(#require(Fixtures.shared).appending(path: name))
    }

    private static let onDevices = own.filter {
        $0.hasSuffix("_small") && ($0.hasPrefix("qwen2") || $0.hasPrefix("internvl"))
    }

    /// On a Mac its GPU, elsewhere what stands in for one (`Tests/StandInDevice`).
    @Test(.enabled(if: Device.mps.isAvailable), arguments: onDevices)
    func modelsHoldOnAnotherDevice(_ name: String) throws {
        try check(Fixtures.goldens.appending(path: name), on: .mps)
    }

    @Test(.enabled(if: Device.mps.isAvailable), arguments: sharedThere.filter { ["nvlm_h", "qwen_vl"].contains($0) })
    func sharedModelsHoldOnAnotherDevice(_ name: String) throws {
        try check(#require(Fixtures.shared).appending(path: name), on: .mps)
    }

    /// The goldens of the embedded model stand apart from its weights, which the repository holds once.
    @Test func embeddedModelHolds() throws {
        let folder = try TemporaryFolder(), manager = FileManager.default
        for source in [
            Fixtures.checkout.appending(path: "Sources/EmbeddedModel/omma-nano"),
            Fixtures.goldens.appending(path: "omma_nano"),
        ] {
            for name in try manager.contentsOfDirectory(atPath: source.path) where name != "README.md" {
                try manager.createSymbolicLink(
                    at: folder.url.appending(path: name), withDestinationURL: source.appending(path: name))
            }
        }
        try check(folder.url)
    }

    @Test func sayWhichWereThere() {
        let missing = Self.shared.filter { !Self.sharedThere.contains($0) }
        print("verified of the repository: \(Self.own.joined(separator: ", "))")
        print(
            "verified of the shared fixtures: \(Self.sharedThere.isEmpty ? "none" : Self.sharedThere.joined(separator: ", "))"
        )
        if !missing.isEmpty { print("not there, not verified: \(missing.joined(separator: ", "))") }
    }

    private func check(_ folder: URL, on device: Device = .cpu) throws {
        let report = try Verifier.verify(folder: folder, device: device)
        let failures = report.lines.filter { !$0.holds }.map { "\($0.name): \($0.note)" }
        #expect(
            report.holds, "\(failures.count) of \(report.lines.count): \(failures.prefix(8).joined(separator: "\n"))")
        print("verify: \(folder.lastPathComponent) (\(report.kind)): \(report.lines.count) comparisons")
    }

    @Test func noGoldenFolderIsForgotten() throws {
        let folders = try FileManager.default.contentsOfDirectory(atPath: Fixtures.goldens.path).filter { name in
            var isFolder: ObjCBool = false
            let path = Fixtures.goldens.appending(path: name).path
            return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
        }
        #expect(Set(folders).subtracting(["__pycache__"]) == Set(Self.own + Self.others))
    }
}
