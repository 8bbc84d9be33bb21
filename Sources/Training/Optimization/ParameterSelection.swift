internal import Models

/// A choice of a model's parameters by part or by pattern.
struct ParameterSelection {
    /// The parts of a model by their names in recipes.
    enum Part: String, CaseIterable {
        case tower, merger, embedding, decoder, head, all
        /// The text side of a contrastive pair.
        case text
        /// Gated layers between the decoder's own.
        case crossAttention = "cross_attention"

        init(_ part: ModelPart) {
            switch part {
            case .visionTower: self = .tower
            case .textTower: self = .text
            case .connector: self = .merger
            case .embedding: self = .embedding
            case .crossAttention: self = .crossAttention
            case .head: self = .head
            default: self = .decoder
            }
        }
    }

    let patterns: [String]
    private let part: (String) -> ModelPart

    /// - Parameter part: the part that a parameter belongs to, by its name.
    init(_ patterns: [String], part: @escaping (String) -> ModelPart) {
        self.patterns = patterns
        self.part = part
    }

    init(_ patterns: [String], of model: VisionLanguageModel) { self.init(patterns, part: model.part) }

    /// Whether some pattern fits, and none of those that begin with `!`.
    func contains(_ name: String) -> Bool {
        patterns.contains { !$0.hasPrefix("!") && matches($0, name) }
            && !patterns.contains { $0.hasPrefix("!") && matches(String($0.dropFirst()), name) }
    }

    /// Patterns that fit none of `names`: mistakes, most likely.
    func idle(among names: [String]) -> [String] {
        patterns.filter { pattern in
            let plain = pattern.hasPrefix("!") ? String(pattern.dropFirst()) : pattern
            return !names.contains { matches(plain, $0) }
        }
    }

    /// Whether `name` belongs to the part that `pattern` names, or fits the pattern, in which `*` stands for anything.
    func matches(_ pattern: String, _ name: String) -> Bool {
        if let part = Part(rawValue: pattern) { return part == .all || part == Part(self.part(name)) }
        return Self.fits(Array(pattern.utf8)[...], Array(name.utf8)[...])
    }

    private static func fits(_ pattern: ArraySlice<UInt8>, _ name: ArraySlice<UInt8>) -> Bool {
        guard let first = pattern.first else { return name.isEmpty }
        if first == UInt8(ascii: "*") {
            let rest = pattern.dropFirst()
            return (name.startIndex...name.endIndex).contains { fits(rest, name[$0...]) }
        }
        return name.first == first && fits(pattern.dropFirst(), name.dropFirst())
    }
}
