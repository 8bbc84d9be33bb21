/// How features reach the decoder.
public enum FusionScheme: String, Sendable, Hashable, CaseIterable {
    /// As tokens of the sequence.
    case sequence
    /// As columns of gated cross-attention (NVLM-X).
    case crossAttention
    /// The thumbnail, or a picture's only tile, as tokens; all other tiles as columns (NVLM-H).
    case hybrid
}
