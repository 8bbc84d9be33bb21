import Media

/// Labelled pictures without end: sample `index` is a function of the options and the index alone.
///
/// A value without state; any number of threads may call it (text is shaped and drawn by one at a time, see `Canvas`).
/// Pixels depend on the versions of Cairo, Pango and the fonts
/// beside the options; questions, answers and layout of scenes do not.
public struct SyntheticGenerator: Sendable {
    public let options: SyntheticOptions
    private let tasks: [SyntheticTask]
    private let weights: [Double]

    /// - Throws: `SyntheticError.options` when an option is out of range.
    public init(_ options: SyntheticOptions) throws {
        try options.validate()
        self.options = options
        let known = SyntheticTask.allCases + SyntheticTask.keptBack
        let weighted = known.compactMap { task in options.weights[task].map { (task, $0) } }
        tasks = weighted.map(\.0)
        weights = weighted.map(\.1)
    }

    /// The sample at a place of the sequence.
    /// - Throws: `DrawingError` when a font is not installed; `SyntheticError.unplaceable` when the allowed sides leave
    ///   no room.
    public func sample(at index: Int) throws -> SyntheticSample {
        let family: UInt64 = options.split == .train ? 0x74_7261_696E : 0x6865_6C64_6F75_74
        var generator = SeededGenerator(
            seed: options.seed ^ (family &* 0x9E37_79B9_7F4A_7C15), stream: UInt64(bitPattern: Int64(index)))
        let task = tasks[generator.index(weights: weights)]
        let language: SyntheticLanguage = generator.chance(options.chineseShare) ? .chinese : .english
        for _ in 0..<100 {
            let drawn =
                switch task {
                case .text: try TextTask(options: options, language: language).sample(using: &generator)
                case .chart: try ChartTask(options: options, language: language).sample(using: &generator)
                case .clock: try ClockTask(options: options, language: language).sample(using: &generator)
                default: try SceneSampler(options: options, language: language).sample(task, using: &generator)
                }
            guard let drawn else { continue }
            return SyntheticSample(
                image: drawn.image, task: task, turns: drawn.turns,
                metadata: .init(
                    index: index, language: language, objects: drawn.objects, captions: drawn.captions,
                    font: drawn.font))
        }
        throw SyntheticError.unplaceable(task: task, index: index)
    }

    /// The font families that text may be drawn in, for a split.
    public static func fontFamilies(_ split: SyntheticOptions.Split) -> [String] {
        split == .train ? Typefaces.train : Typefaces.train + Typefaces.heldOut
    }
}
