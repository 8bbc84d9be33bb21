import Models
import NN
import TestSupport
import Testing
import Torch

/// Presets against the published numbers.
@Suite struct PresetTests {
    /// Published numbers of parameters, in billions with as many digits as were published.
    static let published: [(name: String, total: String)] = [
        ("qwen2-vl-2b", "2.21"), ("qwen2-vl-7b", "8.29"), ("qwen2-vl-72b", "73.4"),
    ]

    @Test(arguments: published) func totalsAreThePublishedOnes(name: String, total: String) throws {
        let summary = try ModelSummary(Preset.named(name))
        let digits = total.split(separator: ".").last?.count ?? 0
        let billions = Double(summary.total) / 1e9
        let step = (0..<digits).reduce(1.0) { value, _ in value / 10 }
        let expected = try #require(Double(total))
        #expect(abs(billions - expected) <= step / 2 + 1e-9, "\(billions)")
        #expect(summary.problems.isEmpty)
        #expect(!summary.parts.contains { $0.name == .other })
    }

    @Test func everyPresetIsChecked() {
        #expect(Set(Self.published.map(\.name)) == Set(Preset.all.map(\.name)))
        #expect(Set(Preset.all.map(\.name)).count == Preset.all.count)
    }

    @Test func allAreBuiltWithoutMemoryInASecond() throws {
        for preset in Preset.all {
            let store = ParameterStore(.shapes)
            // The processor's time: other tests run beside this one.
            let start = ProcessTime.threadSeconds
            let model = try preset.family().makeModel(store)
            #expect(ProcessTime.threadSeconds - start < 1, "\(preset.name)")
            #expect(model.store.parameters.allSatisfy { $0.tensor.device == .meta })
        }
    }

    @Test func unknownNamesListTheKnownOnes() {
        let error = #expect(throws: PresetError.self) { try Preset.named("qwen2-vl-1t") }
        for preset in Preset.all { #expect(error?.description.contains(preset.name) == true) }
    }
}
