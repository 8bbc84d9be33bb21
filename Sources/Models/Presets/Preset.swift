/// A published size of a system, by the name that the command line uses: the fields of its released `config.json` that
/// matter, read by the code that reads checkpoints.
public struct Preset: Sendable {
    public let name: String
    /// Under which name it was released or described.
    public let origin: String
    /// `config.json`.
    public let configuration: String

    init(_ name: String, _ origin: String, _ configuration: String) {
        self.name = name
        self.origin = origin
        self.configuration = configuration
    }

    /// All presets, a system at a time, small ones first.
    public static let all: [Preset] =
        nvlm + mm1 + navit + points + internVL2 + qwenVL + qwen2VL + encoders

    /// The preset of this name, in upper or lower case.
    ///
    /// - Throws: `PresetError.unknown`.
    public static func named(_ name: String) throws(PresetError) -> Preset {
        guard let preset = all.first(where: { $0.name == name.lowercased() }) else { throw .unknown(name) }
        return preset
    }

    /// The configuration, to be read as if it stood in a checkpoint's folder.
    public func reader() throws -> ConfigurationReader {
        try ConfigurationReader(json: configuration, file: "preset \(name)")
    }

    /// What the configuration describes. Throws `ConfigurationError`, as it does for a preset of an encoder.
    public func family() throws -> any ModelFamily { try ModelRegistry.configuration(reader()) }

    /// What the configuration describes, encoders included. Throws `ConfigurationError`.
    public func model() throws -> any DescribedModel { try ModelRegistry.described(reader()) }
}

public enum PresetError: Error, Sendable, Hashable, CustomStringConvertible {
    case unknown(String)

    public var description: String {
        switch self {
        case .unknown(let name):
            "there is no folder '\(name)' and no preset of that name; presets are "
                + Preset.all.map(\.name).joined(separator: ", ")
        }
    }
}
