internal import Foundation
internal import Hashing

/// What a run reads beside its recipe, by the fields that name it: a resumed run must find the same.
struct RunInputs {
    /// A word about each file that changes when the file does.
    private(set) var digests: [String: String] = [:]

    /// Reads the files of the model's folder but for its weights, and the files of data.
    init(_ recipe: Recipe) {
        if case .preset = recipe.model.start { return }
        func add(_ field: String, _ file: String) {
            // What is missing is said by who needs it.
            guard let data = try? Data(contentsOf: URL(fileURLWithPath: file), options: .mappedIfSafe) else { return }
            let digest = data.withUnsafeBytes { sha256($0) }.prefix(16)
            digests[field] = "\(data.count) bytes, SHA-256 \(digest)…"
        }
        for name in ModelFiles.names { add("model.\(name)", recipe.model.folder + "/" + name) }
        for name in ["vocab.json", "merges.txt"] {
            if let folder = recipe.model.vocabulary { add("model.vocabulary.\(name)", folder + "/" + name) }
        }
        func add(_ field: String, _ sources: [Recipe.Source]) {
            for (index, source) in sources.enumerated() {
                guard case .messages(let file, _, _) = source.kind else { continue }
                add("\(field).\(index).file", file)
            }
        }
        for stage in recipe.stages { add("stages.\(stage.name).data", stage.data) }
        if let heldOut = recipe.heldOut { add("held_out.data", heldOut.data) }
    }

    /// Files that are not what they were, as `RecipeComparison.differences` has it. Those that are gone are left out: a
    /// checkpoint has the model's files, and data that is missing cannot be opened.
    func differences(from old: [String: String], allowed: Set<String>) -> [String] {
        digests.keys.sorted().flatMap { field -> [String] in
            guard let was = old[field], let now = digests[field], was != now,
                !RecipeComparison.isAllowed(field, allowed)
            else { return [] }
            return ["- \(field): \(was)", "+ \(field): \(now)"]
        }
    }
}
