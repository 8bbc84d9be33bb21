/// Mean and deviation of each colour, applied to values in 0...1.
public struct PixelNormalization: Sendable, Hashable {
    public var mean: [Double]
    public var deviation: [Double]
    /// What a byte is multiplied with first.
    public var rescale: Double

    public init(mean: [Double], deviation: [Double], rescale: Double = 1 / 255) {
        precondition(mean.count == 3 && deviation.count == 3)
        self.mean = mean
        self.deviation = deviation
        self.rescale = rescale
    }

    /// OpenAI's CLIP, and after it Qwen-VL, Qwen2-VL and POINTS.
    public static let clip = PixelNormalization(
        mean: [0.48145466, 0.4578275, 0.40821073], deviation: [0.26862954, 0.26130258, 0.27577711])
    /// ImageNet: InternViT, so InternVL2 and NVLM.
    public static let imageNet = PixelNormalization(mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225])
    public static let siglip = PixelNormalization(mean: [0.5, 0.5, 0.5], deviation: [0.5, 0.5, 0.5])

    /// The normalised value of each byte of a channel, computed in float32 as the references do.
    public func table(channel: Int) -> [Float] {
        (0..<256).map { byte in
            (Float(byte) * Float(rescale) - Float(mean[channel])) / Float(deviation[channel])
        }
    }
}
