public import NN
public import Torch

/// A network that turns pixels into features.
public protocol VisionTower: AnyObject {
    /// Tiles give `[tiles, tokens, width]`, row by row and without a class token; patches give `[patches, width]`, the
    /// neighbours that a connector merges one after another.
    ///
    /// - Throws: `ProcessingError.unsupported` for a layout that the tower does not take.
    func callAsFunction(_ items: [VisualItem], _ context: ForwardContext) throws -> Tensor
}

/// The numbers of a vision tower: one value of the design's axis.
public protocol VisionTowerConfiguration: Sendable {
    func makeTower(_ scope: ParameterScope) throws -> any VisionTower
    /// Layers and widths in a few words.
    var summary: String { get }
    /// What its costs depend on.
    var shape: TransformerShape { get }
}
