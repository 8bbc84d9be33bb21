import Models
import NN
import TestSupport
import Testing
import Torch

/// Presets against the published numbers.
@Suite struct PresetTests {
    /// Published numbers of parameters, in billions with as many digits as were published.
    static let published: [(name: String, total: String)] = [
        ("nvlm-d-72b", "79.4"),
        ("internvl2-1b", "0.9"), ("internvl2-2b", "2.2"), ("internvl2-4b", "4.1"), ("internvl2-8b", "8.1"),
        ("internvl2-26b", "25.5"), ("internvl2-40b", "40.1"), ("internvl2-76b", "76.3"),
        ("qwen-vl-7b", "9.66"), ("qwen2-vl-2b", "2.21"), ("qwen2-vl-7b", "8.29"), ("qwen2-vl-72b", "73.4"),
        ("clip-vit-l-14", "0.4276"), ("clip-vit-l-14-336", "0.4279"), ("siglip-b-16-224", "0.2032"),
        ("siglip-so400m-14-384", "0.878"),
    ]

    @Test(arguments: published) func totalsAreThePublishedOnes(name: String, total: String) throws {
        let summary = try ModelSummary(Preset.named(name))
        try expect(summary.total, roundsTo: total)
        #expect(summary.problems.isEmpty)
        #expect(!summary.parts.contains { $0.name == .other })
    }

    /// Sizes whose totals were not published: their language model's was.
    static let languages: [(name: String, total: String)] = [
        ("nvlm-d-34b", "34.4"), ("nvlm-x-34b", "34.4"), ("nvlm-x-72b", "72.7"), ("nvlm-h-34b", "34.4"),
        ("nvlm-h-72b", "72.7"), ("points-1.0-7b", "7.6"), ("points-1.0-9b", "8.8"), ("points-1.5-7b", "7.6"),
    ]

    @Test(arguments: languages) func languageModelsAreThePublishedOnes(name: String, total: String) throws {
        let counts = try ModelSummary(Preset.named(name)).parameters
        let language = ["embedding", "decoder", "head"].reduce(0) { $0 + (counts[$1] ?? 0) }
        try expect(language, roundsTo: total)
    }

    /// NaViT's paper names sizes of ViT, whose towers have these numbers (Dosovitskiy et al. 2021, table 1).
    static let encoders: [(name: String, total: String)] = [
        ("navit-b-32", "0.09"), ("navit-b-16", "0.09"), ("navit-l-16", "0.30"),
        // AIM's names round these: 12 · layers · width² and the patches' own.
        ("aim-600m", "0.68"), ("aim-1b", "1.21"), ("aim-3b", "2.72"), ("aim-7b", "6.45"),
    ]

    @Test(arguments: encoders) func encodersHaveTheSizeOfTheirTransformer(name: String, total: String) throws {
        let summary = try ModelSummary(Preset.named(name))
        try expect(summary.parameters["vision"] ?? 0, roundsTo: total)
        #expect(summary.limits.context == nil && summary.cacheBytesPerToken == 0)
        #expect(Set(summary.parts.map(\.name)) == [.visionTower, .head])
    }

    @Test func encodersDoNotAnswer() throws {
        let error = #expect(throws: ConfigurationError.self) { try Preset.named("navit-b-16").family() }
        #expect(error?.description.contains("is an encoder") == true)
    }

    /// In billions, with as many digits as the text has.
    private func expect(_ count: Int, roundsTo text: String) throws {
        let digits = text.contains(".") ? text.split(separator: ".").last?.count ?? 0 : 0
        let step = (0..<digits).reduce(1.0) { value, _ in value / 10 }
        let expected = try #require(Double(text))
        #expect(abs(Double(count) / 1e9 - expected) <= step / 2 + 1e-9, "\(count)")
    }

    @Test func crossAttentionAddsWhatThePaperSays() throws {
        for name in ["nvlm-x-72b", "nvlm-h-72b"] {
            try expect(ModelSummary(Preset.named(name)).parameters["cross_attention"] ?? 0, roundsTo: "1.5")
        }
    }

    @Test func everyPresetIsChecked() {
        // MM1's are beside its own tests: its paper gives round numbers only.
        let names = Preset.all.map(\.name).filter { !$0.hasPrefix("mm1-") }
        #expect(Set((Self.published + Self.languages + Self.encoders).map(\.name)) == Set(names))
        #expect(Set(Preset.all.map(\.name)).count == Preset.all.count)
    }

    @Test func allAreBuiltWithoutMemoryInASecond() throws {
        for preset in Preset.all {
            let store = ParameterStore(.shapes)
            // The processor's time: other tests run beside this one.
            let start = ProcessTime.threadSeconds
            _ = try preset.model().makeParameters(store)
            #expect(ProcessTime.threadSeconds - start < 1, "\(preset.name)")
            #expect(!store.parameters.isEmpty && store.parameters.allSatisfy { $0.tensor.device == .meta })
        }
    }

    @Test func unknownNamesListTheKnownOnes() {
        let error = #expect(throws: PresetError.self) { try Preset.named("qwen2-vl-1t") }
        for preset in Preset.all { #expect(error?.description.contains(preset.name) == true) }
    }
}
