/// A checkpoint that cannot be used for going on.
public enum CheckpointError: Error, Sendable, Equatable, CustomStringConvertible {
    case none(folder: String)
    case damaged(folder: String, reason: String)
    /// The recipe, or a file that it names.
    case changedRecipe(folder: String, lines: [String])
    case exists(folder: String)
    case adapter(folder: String)
    /// What rank 0 sees is not there on another rank.
    case unseen(folder: String, rank: Int)

    public var description: String {
        switch self {
        case .none(let folder): "\(folder) holds no checkpoint to resume from; start without --resume"
        case .damaged(let folder, let reason): "\(folder) is damaged: \(reason)"
        case .changedRecipe(let folder, let lines):
            "the run is not the one that wrote \(folder):\n  " + lines.joined(separator: "\n  ")
                + "\nresume with the same, choose another output, or let a field change: --allow-change FIELD"
        case .adapter(let folder):
            "\(folder) holds an adapter, not a model to start from; make it one with omma merge"
        case .unseen(let folder, let rank):
            "rank \(rank) does not see \(folder), which rank 0 does; the output must lie on storage that all machines share"
        case .exists(let folder):
            "\(folder) holds a run already; go on with --resume, or choose another output (--set output=…)"
        }
    }
}
