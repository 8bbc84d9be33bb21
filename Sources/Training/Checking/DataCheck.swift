internal import Data
internal import Foundation

/// Rows of a recipe's files that cannot be used.
public struct DataCheck: Sendable, Codable {
    public var file: String
    public var rows: Int
    /// One line each, with file and line.
    public var wrong: [String]

    /// Looks at every row of every file of a recipe, and at the headers of all pictures.
    ///
    /// - Parameter progress: called with the file, its rows, and how many of them were looked at.
    /// - Throws: `ConversationFileError` for a file that cannot be read at all.
    public static func all(_ recipe: Recipe, progress: (String, Int, Int) -> Void = { _, _, _ in }) throws
        -> [DataCheck]
    {
        var checks: [DataCheck] = []
        var seen: Set<String> = []
        for source in recipe.stages.flatMap(\.data) + (recipe.heldOut?.data ?? []) {
            guard case .messages(let path, let images, let unmarked) = source.kind,
                seen.insert("\(path)\n\(images)\n\(unmarked.rawValue)").inserted
            else { continue }
            let file = try ConversationFile(
                URL(fileURLWithPath: path), images: URL(fileURLWithPath: images), unmarked: unmarked)
            let problems = file.problems { progress(path, file.count, $0) }
            checks.append(DataCheck(file: path, rows: file.count, wrong: problems.map(\.description)))
        }
        return checks
    }
}
