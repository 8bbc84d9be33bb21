internal import Data
internal import Media
internal import Models

/// Generated pictures with what is known of them, by number.
struct GeneratedPictures: Sendable {
    struct Sample {
        var image: Image
        var objects: [SyntheticObject]
        /// What the picture shows, in words: everything by its name, in the order in which the describe task lists it.
        var caption: String { objects.map(\.label).joined(separator: ", ") }
    }

    private let sources: [(generator: SyntheticGenerator, isBlind: Bool)]
    private let weights: [Double]
    private let seed: UInt64

    /// - Parameter isBlind: whether noise stands in for all pictures.
    /// - Throws: `RecipeError` for sources that are not generated: nobody knows what is on their pictures.
    init(_ sources: [Recipe.Source], seed: UInt64, isBlind: Bool = false) throws {
        self.seed = seed
        var opened: [(generator: SyntheticGenerator, isBlind: Bool)] = []
        for source in sources {
            guard case .synthetic(let options, _) = source.kind else {
                throw RecipeError(
                    file: "the recipe", key: "data",
                    reason: "must be synthetic where there is an objective: what other pictures show is not known")
            }
            opened.append((try SyntheticGenerator(options), isBlind || source.isBlind))
        }
        self.sources = opened
        weights = sources.map(\.weight)
    }

    func sample(_ number: Int) throws -> Sample {
        var random = SeededGenerator(seed: seed, stream: UInt64(number))
        let source = sources[random.index(weights: weights)]
        let sample = try source.generator.sample(at: number)
        let image = source.isBlind ? Image.noise(like: sample.image, using: &random) : sample.image
        return Sample(image: image, objects: sample.metadata.objects)
    }

    /// The generator of the choices that belong to a picture: sizes, patches, prefixes.
    func choices(_ number: Int) -> SeededGenerator {
        SeededGenerator(seed: seed ^ 0x6E61_7669_74, stream: UInt64(number))
    }
}
