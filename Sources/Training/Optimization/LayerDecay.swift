/// Learning rates that fall from the last layer of a part to its first (BEiT, section 3.1): the last layer has the full
/// rate, each layer before it the factor of its successor, and what stands before the layers one factor less again.
struct LayerDecay {
    private var factors: [String: Double] = [:]

    /// - Parameters:
    ///   - names: all parameters, in the order in which the model runs them.
    ///   - part: the name of the part that a parameter belongs to.
    init(_ decays: [Recipe.Multiple], names: [String], part: (String) -> String) {
        for decay in decays {
            let own = names.filter { part($0) == decay.pattern }
            let layers = own.map(Self.layer)
            guard let last = layers.compactMap(\.self).max(),
                let end = layers.lastIndex(where: { $0 != nil })
            else { continue }
            for (index, name) in own.enumerated() {
                // Depth 0 is before the layers; what comes behind them goes with the last.
                let depth = layers[index].map { $0 + 1 } ?? (index > end ? last + 1 : 0)
                factors[name] = (depth..<last + 1).reduce(1) { value, _ in value * decay.factor }
            }
        }
    }

    /// The first number in a name.
    private static func layer(_ name: String) -> Int? {
        name.split(separator: ".").lazy.compactMap { Int($0) }.first
    }

    func factor(_ name: String) -> Double { factors[name] ?? 1 }
}
