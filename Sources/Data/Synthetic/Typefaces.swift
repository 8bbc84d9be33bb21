import Media

/// The font families of synthetic text. All come with the packages that `./setup` installs.
enum Typefaces {
    static let train = [
        "DejaVu Sans", "DejaVu Serif", "DejaVu Sans Mono", "Liberation Sans", "Liberation Serif", "Liberation Mono",
        "FreeSans", "FreeSerif", "Noto Sans CJK SC",
    ]
    /// Never drawn in training.
    static let heldOut = ["Open Sans", "Noto Serif CJK SC"]

    static func family(_ split: SyntheticOptions.Split, using generator: inout SeededGenerator) -> String {
        switch split {
        case .train: generator.element(of: train)
        case .heldOut: generator.chance(0.5) ? generator.element(of: heldOut) : generator.element(of: train)
        }
    }

    /// The part of the em that capital letters are high; close enough to choose sizes by.
    static let capitalHeight = 0.72

    /// A size in half pixels: so few that Pango and Cairo find fonts and glyphs in their caches.
    static func size(_ wanted: Double) -> Double { (wanted * 2).rounded() / 2 }
}
