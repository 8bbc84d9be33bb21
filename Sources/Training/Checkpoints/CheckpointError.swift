/// A checkpoint that cannot be used for going on.
public enum CheckpointError: Error, Sendable, Equatable, CustomStringConvertible {
    case none(folder: String)
    case damaged(folder: String, reason: String)
    case changedRecipe(folder: String, lines: [String])
    case exists(folder: String)
    case adapter(folder: String)

    public var description: String {
        switch self {
        case .none(let folder): "\(folder) holds no checkpoint to resume from; start without --resume"
        case .damaged(let folder, let reason): "\(folder) is damaged: \(reason)"
        case .changedRecipe(let folder, let lines):
            "the recipe differs from the one that wrote \(folder):\n  " + lines.joined(separator: "\n  ")
                + "\nresume with the same recipe, or choose another output"
        case .adapter(let folder):
            "\(folder) holds an adapter, not a model to start from; make it one with omma merge"
        case .exists(let folder):
            "\(folder) holds a run already; go on with --resume, or choose another output (--set output=…)"
        }
    }
}
