/// A choice of parameters by part or by pattern.
public struct ParameterSelection: Sendable, Hashable {
    /// The parts of a model by their names in recipes.
    public enum Part: String, Sendable, CaseIterable {
        case tower, merger, embedding, decoder, head, all
    }

    public let patterns: [String]

    public init(_ patterns: [String]) { self.patterns = patterns }

    public func contains(_ name: String) -> Bool { patterns.contains { Self.matches($0, name) } }

    /// Patterns that fit none of `names`: mistakes, most likely.
    public func idle(among names: [String]) -> [String] {
        patterns.filter { pattern in !names.contains { Self.matches(pattern, $0) } }
    }

    /// Whether `name` belongs to the part that `pattern` names, or fits the pattern, in which `*` stands for anything.
    public static func matches(_ pattern: String, _ name: String) -> Bool {
        if let part = Part(rawValue: pattern) { return part == .all || part == self.part(of: name) }
        return fits(Array(pattern.utf8)[...], Array(name.utf8)[...])
    }

    /// The part that a parameter belongs to, by the released names.
    public static func part(of name: String) -> Part {
        if name.hasPrefix("visual.merger.") { return .merger }
        if name.hasPrefix("visual.") { return .tower }
        if name.hasPrefix("model.embed_tokens.") { return .embedding }
        if name.hasPrefix("lm_head.") { return .head }
        return .decoder
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
