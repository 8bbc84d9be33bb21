public import Foundation

/// The small model that the repository carries, `omma-nano`, so that everything can be tried without a download.
public enum EmbeddedModel {
    /// The environment variable that names another folder to take its place.
    public static let environmentVariable = "OMMA_MODEL"

    /// The folder of the model: what `OMMA_MODEL` names, or the one that the build put beside the program.
    ///
    /// - Throws: `EmbeddedModelError` when there is no folder, or one without weights.
    public static func folder(
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(EmbeddedModelError) -> URL {
        if let path = environment[environmentVariable], !path.isEmpty { return URL(filePath: path) }
        // `Bundle.module` ends the program when the resources have not moved with it; looking is gentler.
        guard let folder = candidates.first(where: { exists($0) }) else {
            throw .missing(places: candidates.map(\.path))
        }
        guard exists(folder.appending(path: "config.json")), holdsWeights(folder) else {
            throw .empty(folder: folder.path)
        }
        return folder
    }

    /// Where SwiftPM puts the resources: in a bundle beside the program.
    private static let candidates: [URL] = {
        var folders = [Bundle.main.bundleURL]
        if let program = Bundle.main.executableURL {
            folders += [
                program.deletingLastPathComponent(), program.resolvingSymlinksInPath().deletingLastPathComponent(),
            ]
        }
        if let resources = Bundle.main.resourceURL { folders.append(resources) }
        var seen: Set<String> = []
        return folders.flatMap { folder in
            [
                "omma_EmbeddedModel.resources/omma-nano", "omma_EmbeddedModel.bundle/omma-nano",
                "omma_EmbeddedModel.bundle/Contents/Resources/omma-nano",
            ].map { folder.appending(path: $0).standardized }
        }.filter { seen.insert($0.path).inserted }
    }()

    private static func exists(_ url: URL) -> Bool { FileManager.default.fileExists(atPath: url.path) }

    private static func holdsWeights(_ folder: URL) -> Bool {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return names.contains { $0.hasSuffix(".safetensors") }
    }
}

/// Why there is no embedded model to use.
public enum EmbeddedModelError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The resources are not where the build puts them.
    case missing(places: [String])
    /// The folder is there, without configuration or weights.
    case empty(folder: String)

    public var description: String {
        let rest = "name a checkpoint with --model DIR or \(EmbeddedModel.environmentVariable)"
        return switch self {
        case .missing(let places):
            "the embedded model is not beside the program"
                + (places.first.map { " (looked for \($0))" } ?? "") + "; \(rest)"
        case .empty(let folder): "this build carries no model (\(folder) has no weights); \(rest)"
        }
    }
}
