import Foundation
import Goldens
import Models
import NN
import Safetensors
import Torch

/// Parts of models by themselves: outputs for given inputs (`<case>.in.*`), and the gradients of
/// `Σ sum(output · probe)` for the inputs and for every weight. The weights are then saved, loaded again and compared
/// once more.
struct ModuleVerifier: FolderVerifier {
    static let kind = "module"

    private static let modules: [any GoldenModule.Type] = [
        CLIPVisionModule.self, SiglipVisionModule.self, NaViTModule.self, CAbstractorModule.self,
        AveragePoolModule.self, AttentionPoolModule.self, PerceiverModule.self, MixtureModule.self, FlamingoModule.self,
        MllamaModule.self, ContrastiveModule.self,
    ]

    static func matches(_ contents: GoldenContents) -> Bool {
        contents.has("config.json")
            && (contents.json["tensors"].object ?? [:]).keys.contains { $0.contains(".in.") }
    }

    static func verify(_ contents: GoldenContents, _ report: inout VerifyReport) throws {
        let goldens = try GoldenFolder(path: contents.url.path)
        let cases = (goldens.json["cases"].object ?? [:]).keys.sorted().filter { name in
            goldens.tensors.keys.contains { $0.hasPrefix("\(name).in.") }
        }
        var compared: Set<String> = []
        for name in cases {
            let verifier = try ModuleCaseVerifier(name, contents.url, goldens, modules: modules)
            compared.formUnion(try verifier.verify(&report))
        }
        compared.formUnion(try PixelsVerifier.verify(contents, goldens, &report))
        // Nothing may stand in the goldens that no comparison looked at.
        for name in goldens.tensors.keys.sorted() where !compared.contains(name) && !isInput(name) {
            report.add(name, holds: false, "the module gives nothing of this name")
        }
    }

    private static func isInput(_ name: String) -> Bool {
        name.contains(".in.") || name.contains(".probe.")
    }
}

/// One case of a module: outputs, gradients, and the same outputs from weights that were saved and loaded.
private struct ModuleCaseVerifier {
    let name: String
    let goldens: GoldenFolder
    let type: any GoldenModule.Type
    let folder: URL
    let weights: String
    let overrides: [String: JSONValue]

    init(_ name: String, _ folder: URL, _ goldens: GoldenFolder, modules: [any GoldenModule.Type]) throws {
        self.name = name
        self.folder = folder
        self.goldens = goldens
        let golden = goldens.json["cases"][name]
        weights = golden["checkpoint"].string ?? "model.safetensors"
        overrides = (golden["config_override"].object ?? [:]).compactMapValues(JSONValue.init(golden:))
        let reader = try ConfigurationReader(
            contentsOf: folder.appending(path: "config.json"), overriding: overrides)
        guard let type = modules.first(where: { $0.matches(reader) }) else {
            throw ConfigurationError(file: reader.file, reason: "describes no part of a model that Omma knows")
        }
        self.type = type
    }

    private func makeModule(_ file: String) throws -> (any GoldenModule, ParameterStore) {
        let reader = try ConfigurationReader(
            contentsOf: folder.appending(path: "config.json"), overriding: overrides)
        let source = SingleFileWeights(file: try SafetensorsFile(path: file))
        let store = ParameterStore(.checkpoint(source, .fail), writable: true)
        let module = try type.init(reader, store)
        try store.finish()
        return (module, store)
    }

    /// Gives the names of the goldens that were compared.
    func verify(_ report: inout VerifyReport) throws -> Set<String> {
        let file = folder.appending(path: weights).path
        let (module, store) = try makeModule(file)
        for parameter in store.parameters where !parameter.isConstant {
            try parameter.tensor.setRequiresGradient(true)
        }
        let golden = try GoldenCase(name, goldens)
        let outputs = try module.run(golden)
        var compared = try compare(outputs, suffix: "", &report)
        compared.formUnion(try verifyGradients(golden, outputs, store, &report))
        try verifySaved(store, file: file, &report)
        return compared
    }

    private func compare(_ outputs: [String: Tensor], suffix: String, _ report: inout VerifyReport) throws
        -> Set<String>
    {
        var compared: Set<String> = []
        for (key, tensor) in outputs.sorted(by: { $0.key < $1.key }) where goldens.tensors[key] != nil {
            var line = try goldens.compare(key, tensor.detach().doubles(), shape: tensor.shape)
            line.name += suffix
            report.add(line)
            compared.insert(key)
        }
        return compared
    }

    private func verifyGradients(
        _ golden: GoldenCase, _ outputs: [String: Tensor], _ store: ParameterStore, _ report: inout VerifyReport
    ) throws -> Set<String> {
        let prefix = "\(name).probe."
        var loss: Tensor?, magnitude = 0.0
        for key in goldens.tensors.keys.sorted() where key.hasPrefix(prefix) {
            let what = key.dropFirst(prefix.count)
            guard let output = outputs["\(name).\(what)"] else {
                report.add(key, holds: false, "the module gives nothing of this name to probe")
                continue
            }
            let probe = try Tensor(goldens.floats(key), shape: output.shape)
            let product = try output * probe
            magnitude += try product.detach().abs().sum().item()
            loss = try loss.map { try $0 + product.sum() } ?? product.sum()
        }
        guard let loss else { return [] }
        if let expected = golden.json["loss"].double {
            // Terms of both signs: what rounding may move grows with their magnitudes, not with the sum's.
            report.add(
                "\(name).loss", try loss.item(), expected: expected, allowed: 2e-5 * max(magnitude, abs(expected)))
        }
        try loss.backward()

        var compared: Set<String> = []
        for (input, tensor) in golden.inputs.sorted(by: { $0.key < $1.key }) {
            let key = "\(name).grad_in.\(input)"
            guard goldens.tensors[key] != nil else { continue }
            compared.insert(key)
            guard let gradient = try tensor.gradient?.doubles() else {
                report.add(key, holds: false, "the input has no gradient")
                continue
            }
            report.add(try goldens.compare(key, gradient, shape: tensor.shape))
        }
        try verifyNorms(golden.json["grad_l2"], store, &report)
        return compared
    }

    private func verifyNorms(_ expected: GoldenJSON, _ store: ParameterStore, _ report: inout VerifyReport) throws {
        let largest = (expected.object ?? [:]).values.compactMap(\.double).max() ?? 0
        for parameter in store.parameters where !parameter.isConstant {
            let place = "\(name).grad_l2.\(parameter.name)", norm = try parameter.tensor.gradient?.norm().item()
            guard let golden = expected[parameter.name].double else {
                report.add(place, holds: norm == nil, "is \(norm ?? 0), the golden has no gradient")
                continue
            }
            guard let norm else {
                report.add(place, holds: false, "has no gradient")
                continue
            }
            // Where the true gradient is 0 (the keys' biases) both sides hold noise of the other gradients' size.
            report.add(place, norm, expected: golden, allowed: max(5e-4 * golden, 1e-6 * largest))
        }
        for key in (expected.object ?? [:]).keys.sorted() where store[key] == nil {
            report.add("\(name).grad_l2.\(key)", holds: false, "the module has no such weight")
        }
    }

    private func verifySaved(_ store: ParameterStore, file: String, _ report: inout VerifyReport) throws {
        let copy = FileManager.default.temporaryDirectory
            .appending(path: "omma-verify-\(UUID().uuidString).safetensors")
        defer { try? FileManager.default.removeItem(at: copy) }
        try SafetensorsWriter.write(path: copy.path, tensors: store.tensorSources())
        let before = try SafetensorsFile(path: file), after = try SafetensorsFile(path: copy.path)
        let same =
            Set(before.entries.keys) == Set(after.entries.keys)
            && before.entries.allSatisfy { $0.value.shape == after.entries[$0.key]?.shape }
        report.add("\(name).saved keys", holds: same, "differ from those of \(file)")
        let (module, _) = try makeModule(copy.path)
        try withoutGradient {
            _ = try compare(module.run(GoldenCase(name, goldens)), suffix: " after saving", &report)
        }
    }
}

/// A single safetensors file as a source of weights.
struct SingleFileWeights: WeightSource {
    let file: SafetensorsFile

    var names: [String] { Array(file.entries.keys) }
    func shape(of name: String) -> [Int]? { file.entries[name]?.shape }
    func tensor(named name: String) throws -> Tensor { try file.tensor(name) }
    func location(of name: String) -> String { file.path }
}

extension JSONValue {
    /// The same value as a golden file writes it; nil for nulls.
    init?(golden: GoldenJSON) {
        if let flag = golden.bool {
            self = .bool(flag)
        } else if let number = golden.double {
            self = .number(number)
        } else if let text = golden.string {
            self = .string(text)
        } else if let items = golden.array {
            self = .array(items.compactMap(JSONValue.init(golden:)))
        } else if let fields = golden.object {
            self = .object(fields.compactMapValues(JSONValue.init(golden:)))
        } else {
            return nil
        }
    }
}
