public import NN

/// What is known of any model without its weights: names, parts and sizes.
public protocol DescribedModel: Sendable {
    /// The name under which the model knows a key of a checkpoint: newer libraries write other prefixes.
    func canonicalName(_ key: String) -> String

    /// The part of the model that a parameter belongs to.
    func part(of parameterName: String) -> ModelPart

    /// Layers and widths of a part in a few words; nil for parts that the model does not have.
    func description(of part: ModelPart) -> String?

    /// Makes all parameters in the store, and checks that nothing is missing or left.
    ///
    /// - Returns: the decoder's numbers, where there is a decoder.
    func makeParameters(_ store: ParameterStore) throws -> DecoderConfiguration?

    /// What the costs of the towers depend on; none in a text model.
    var towerShapes: [TransformerShape] { get }

    /// Patches of a tile, which attend to each other; nil where pictures keep their resolution.
    var patchesPerTile: Int? { get }

    /// Patches that become one feature.
    var patchesPerFeature: Double { get }

    /// How features reach the decoder.
    var fusion: FusionScheme { get }
}

extension DescribedModel {
    public func canonicalName(_ key: String) -> String { key }
    public func part(of parameterName: String) -> ModelPart { .other }
    public func description(of part: ModelPart) -> String? { nil }
    public var towerShapes: [TransformerShape] { [] }
    public var patchesPerTile: Int? { nil }
    public var patchesPerFeature: Double { 1 }
    public var fusion: FusionScheme { .sequence }
}
