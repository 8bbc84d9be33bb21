public import Foundation
internal import Hashing
public import NN
internal import Safetensors
public import Torch

/// A folder with a low-rank adapter in PEFT's layout: `adapter_config.json` and `adapter_model.safetensors`.
public struct AdapterFolder: Sendable {
    public let url: URL
    public let configuration: AdapterConfiguration

    public init(_ url: URL) throws {
        guard Self.isAdapter(url) else {
            throw ConfigurationError(
                file: url.path, reason: "holds no \(AdapterConfiguration.file); give the folder of a LoRA adapter")
        }
        self.url = url
        configuration = try AdapterConfiguration(folder: url)
    }

    /// Whether the folder holds an adapter, beside weights of its own or without them.
    public static func isAdapter(_ url: URL) -> Bool {
        FileManager.default.fileExists(atPath: url.appending(path: AdapterConfiguration.file).path)
    }

    /// The folder of the checkpoint that the adapter belongs to, where its configuration names one that is there.
    public func baseFolder() throws -> URL {
        guard let base = configuration.base, !base.isEmpty else {
            throw ConfigurationError(
                file: url.path, reason: "names no base model; give the folder of the checkpoint that it belongs to")
        }
        // PEFT means a path from the working directory; beside the adapter is where people put it.
        for folder in [URL(filePath: base), url.appending(path: base)] {
            var isFolder: ObjCBool = false
            if FileManager.default.fileExists(atPath: folder.path, isDirectory: &isFolder), isFolder.boolValue {
                return folder
            }
        }
        throw ConfigurationError(
            file: url.path,
            reason: "belongs to '\(base)', which is no folder here; give that checkpoint's folder as the model")
    }

    /// Puts the adapter's matrices beside the model's. Every key of the file must find its layer.
    ///
    /// - Parameters:
    ///   - base: the folder that the model's weights came from; nil where the model is known to be the right one.
    /// - Throws: `WeightError` for keys that fit no layer or have another shape, `ConfigurationError` for an adapter of
    ///   another checkpoint.
    @discardableResult
    public func attach(to model: VisionLanguageModel, family: any ModelFamily, base: URL?) throws -> LowRankAdapters {
        let file = try SafetensorsCheckpoint(directory: url.path, name: "adapter_model")
        if let base, let expected = file.metadata[Self.fingerprintKey] {
            let found = try Self.fingerprint(base)
            guard found == expected else {
                throw ConfigurationError(
                    file: url.path,
                    reason: "was trained on other weights than those in \(base.path); give the checkpoint that it "
                        + "belongs to (\(configuration.base ?? "its configuration does not say which"))")
            }
        }
        let weights = RenamedWeights(AdapterWeights(file), family.canonicalName)
        let store = ParameterStore(
            .checkpoint(weights, .fail), dtype: model.store.dtype, device: model.store.device,
            writable: model.store.isWritable)
        func rank(_ matrix: String) -> Int? {
            weights.shape(of: LowRankAdapters.layer(of: matrix) + "." + LowRankAdapters.downSuffix)?.first
        }
        let targets = model.store.parameters.filter { $0.isLinear && rank($0.name) != nil }
        let adapters = try LowRankAdapters(
            attachingTo: targets, configuration.settings, store: store, ranks: rank)
        try store.finish { name in
            // PEFT adds the matrix itself where the layer is an output head.
            guard name.hasSuffix(".base_layer.weight") else { return false }
            let matrix = name.dropLast("base_layer.weight".count) + "weight"
            guard let own = model.store[String(matrix)], let copy = try? weights.tensor(named: name) else {
                return false
            }
            return (try? copy.to(own.tensor.dtype).to(own.tensor.device).isEqual(to: own.tensor)) ?? false
        }
        guard !targets.isEmpty else {
            throw ConfigurationError(file: url.path, reason: "holds no adapter of any layer")
        }
        return adapters
    }

    // MARK: - writing

    static let fingerprintKey = "base_fingerprint"

    /// Writes adapters so that PEFT reads them: the keys are those of the reference library's model.
    ///
    /// - Parameters:
    ///   - base: the folder that the model's weights came from.
    ///   - dtype: nil writes them as they are.
    ///   - values: what to write in the place of parameters' tensors, by name.
    public static func write(
        _ adapters: LowRankAdapters, to folder: URL, family: any ModelFamily, base: URL, dtype: DType? = nil,
        replacing values: [String: Tensor] = [:]
    ) throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let configuration = AdapterConfiguration(settings: adapters.settings, base: base.path)
        let layers = adapters.targets.map { LowRankAdapters.layer(of: family.libraryName($0.name)) }
        try SafetensorsWriter.write(
            path: folder.appending(path: "adapter_model.safetensors").path,
            tensors: adapters.store.tensorSources(dtype: dtype, replacing: values) {
                AdapterWeights.wrapper + family.libraryName($0)
            },
            metadata: ["format": "pt", fingerprintKey: try fingerprint(base)])
        try atomicWrite(
            folder.appending(path: AdapterConfiguration.file).path, configuration.json(layers: layers))
    }

    /// Tells checkpoints apart without reading them whole: SHA-256 over the name, type, shape and first bytes of every
    /// tensor.
    static func fingerprint(_ folder: URL) throws -> String {
        let checkpoint = try SafetensorsCheckpoint(directory: folder.path)
        let hasher = SHA256Hasher()
        for name in checkpoint.names.sorted() {
            let location = try checkpoint.location(name)
            let head = "\(name) \(location.entry.dtype.rawValue) \(location.entry.shape)\n"
            Array(head.utf8).withUnsafeBytes { hasher.update($0) }
            try location.file.withBytes(of: name) { hasher.update(UnsafeRawBufferPointer(rebasing: $0.prefix(256))) }
        }
        return hasher.hexDigest()
    }
}

/// The tensors of `adapter_model.safetensors` without the prefix that PEFT's wrappers put before every name.
private struct AdapterWeights: WeightSource {
    private let file: SafetensorsCheckpoint
    static let wrapper = "base_model.model."

    init(_ file: SafetensorsCheckpoint) { self.file = file }

    var names: [String] {
        file.names.map { $0.hasPrefix(Self.wrapper) ? String($0.dropFirst(Self.wrapper.count)) : $0 }
    }
    private func original(_ name: String) -> String {
        file.tensors[Self.wrapper + name] == nil ? name : Self.wrapper + name
    }
    func shape(of name: String) -> [Int]? { file.shape(of: original(name)) }
    func tensor(named name: String) throws -> Tensor { try file.tensor(named: original(name)) }
    func location(of name: String) -> String { file.location(of: original(name)) }
}
