/// What changed between two recipes.
enum RecipeComparison {
    /// Top-level keys that may change between the parts of a run: they do not touch what is learned.
    private static let free: Set<String> = [
        "keep", "workers", "threads", "output", "max_skipped_steps", "max_skipped_samples",
    ]

    /// Lines of YAML that one has and the other lacks, marked with - and +.
    static func differences(_ old: String, _ new: String) -> [String] {
        let before = relevant(old), after = relevant(new)
        if before == after { return [] }
        let difference = after.difference(from: before)
        return difference.map { change in
            switch change {
            case .remove(_, let line, _): "- \(line)"
            case .insert(_, let line, _): "+ \(line)"
            }
        }
    }

    private static func relevant(_ text: String) -> [Substring] {
        text.split(separator: "\n").filter { line in
            guard let key = line.split(separator: ":").first, !line.hasPrefix(" "), !line.hasPrefix("-") else {
                return true
            }
            return !free.contains(String(key))
        }
    }
}
