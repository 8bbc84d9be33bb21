/// A part of a model, as people speak of them and as reports count them.
public enum ModelPart: String, Sendable, Hashable, Codable, CaseIterable {
    case visionTower = "vision tower"
    /// The text side of a contrastive pair.
    case textTower = "text tower"
    /// What turns the tower's features into the decoder's tokens.
    case connector
    case embedding
    /// Layers and last norm.
    case decoder
    /// Gated layers between the decoder's own.
    case crossAttention = "cross-attention"
    case head
    /// What a family has not told.
    case other

    /// The short name that reports use.
    public var key: String {
        switch self {
        case .visionTower: "vision"
        case .textTower: "text"
        default: rawValue.replacing("-", with: "_")
        }
    }
}
