import ArgumentParser
import EmbeddedModel
import Foundation
import Inference
import Models
import Torch

/// The options that choose a model and how it runs, the same for every verb that answers.
struct ModelOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Folder of a checkpoint (config.json, *.safetensors, tokenizer); without it the embedded model.",
            valueName: "dir"),
        completion: .directory) var model: String?
    @Option(
        help: ArgumentHelp(
            "Folder of a LoRA adapter in PEFT's layout; --model may be left out where it names its base.",
            valueName: "dir"), completion: .directory) var adapter: String?
    @Option(help: "auto, cpu, cuda, cuda:N or mps.") var device = "auto"
    @Option(help: "f32 or bf16; the stored type without it.") var dtype: String?
    @Option(help: "CPU threads; one a core without it.") var threads: Int?
    @Option(help: "Resize pictures to at least so many pixels.") var minPixels: Int?
    @Option(help: "Resize pictures to at most so many pixels; fewer are quicker and take fewer tokens.")
    var maxPixels: Int?
    @Option(help: "Cut pictures into at most so many tiles, in models that cut them.") var maxTiles: Int?

    func validate() throws {
        if let dtype, !["f32", "bf16", "float32", "bfloat16"].contains(dtype) {
            throw ValidationError("--dtype is '\(dtype)'; f32 and bf16 are known")
        }
        let counts = [
            ("threads", threads), ("min-pixels", minPixels), ("max-pixels", maxPixels), ("max-tiles", maxTiles),
        ]
        for (name, value) in counts {
            if let value, value < 1 { throw ValidationError("--\(name) is \(value); it must be 1 or more") }
        }
        if let minPixels, let maxPixels, minPixels > maxPixels {
            throw ValidationError("--min-pixels \(minPixels) is more than --max-pixels \(maxPixels)")
        }
        try Device.validate(option: device)
    }

    /// The folder that was named, that of the adapter's base, or that of the embedded model.
    func folder() throws -> URL {
        if let model { return URL(filePath: Paths.expanded(model)) }
        if let adapterFolder { return try AdapterFolder(adapterFolder).baseFolder() }
        return try EmbeddedModel.folder()
    }

    private var adapterFolder: URL? { adapter.map { URL(filePath: Paths.expanded($0)) } }

    /// What was named, with the adapter if there is one; nothing is loaded yet.
    func modelFolder() throws -> ModelFolder { try ModelFolder(folder(), adapter: adapterFolder) }

    /// A short name for what answers.
    func name() throws -> String { try (adapterFolder ?? folder()).lastPathComponent }

    /// Loads the model. Call it on the thread that answers.
    func load() throws -> ChatEngine {
        if let threads { Engine.threads = threads }
        let folder = try modelFolder()
        var processor = try folder.processor.limitingPixels(min: minPixels, max: maxPixels)
        if let maxTiles { processor = try processor.limitingTiles(maxTiles) }
        return try ChatEngine(
            folder, processor: processor, dtype: dtype.flatMap { DType(name: $0) },
            device: try Engine.device(named: device))
    }
}

extension Device {
    /// - Throws: for what `--device` does not know; whether the device is there is seen when it is opened.
    static func validate(option name: String?) throws {
        guard let name, name != "auto", Device(name: name).map({ $0 == .meta }) ?? true else { return }
        throw ValidationError("--device is '\(name)'; auto, cpu, cuda, cuda:N and mps are known")
    }
}

/// Names of files as people type them.
enum Paths {
    /// With `~` spelled out.
    static func expanded(_ path: String) -> String { NSString(string: path).expandingTildeInPath }

    /// A name after a slash command: without the quotes and backslashes that terminals put around dropped files.
    static func typed(_ text: String) -> String {
        var name = text.trimmingCharacters(in: .whitespaces)
        for quote in ["\"", "'"] where name.count > 1 && name.hasPrefix(quote) && name.hasSuffix(quote) {
            name = String(name.dropFirst().dropLast())
        }
        let path = expanded(name)
        if FileManager.default.fileExists(atPath: path) || !path.contains("\\ ") { return path }
        return path.replacingOccurrences(of: "\\ ", with: " ")
    }
}
