internal import Foundation
internal import Hashing
internal import Safetensors

/// Size and SHA-256 of every file of a checkpoint: what was written can be told from what is there.
struct CheckpointManifest: Codable {
    struct File: Codable, Equatable {
        var bytes: Int
        var sha256: String
    }

    var files: [String: File]

    static let path = "training/manifest.json"

    /// Reads all files below `folder`.
    init(of folder: URL) throws {
        files = [:]
        let base = folder.standardizedFileURL.path
        guard let walker = FileManager.default.enumerator(atPath: base) else { return }
        for case let name as String in walker where name != Self.path {
            var isFolder: ObjCBool = false
            let file = base + "/" + name
            guard FileManager.default.fileExists(atPath: file, isDirectory: &isFolder), !isFolder.boolValue else {
                continue
            }
            files[name] = try Self.digest(file)
        }
    }

    private static func digest(_ file: String) throws -> File {
        let data = try Data(contentsOf: URL(fileURLWithPath: file), options: .mappedIfSafe)
        return File(bytes: data.count, sha256: data.withUnsafeBytes { sha256($0) })
    }

    func write(to folder: URL) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        try atomicWrite(folder.appendingPathComponent(Self.path).path, encoder.encode(self))
    }

    /// Why the folder is not what its manifest says; nil if it is.
    static func problem(of folder: URL) -> String? {
        guard let data = try? Data(contentsOf: folder.appendingPathComponent(path)),
            let manifest = try? JSONDecoder().decode(CheckpointManifest.self, from: data)
        else { return "\(path) is missing or unreadable" }
        for (name, expected) in manifest.files.sorted(by: { $0.key < $1.key }) {
            guard let found = try? digest(folder.appendingPathComponent(name).path) else { return "\(name) is missing" }
            if found != expected { return "\(name) is not what was written" }
        }
        return nil
    }
}
