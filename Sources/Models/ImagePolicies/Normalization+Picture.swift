public import Media
public import Torch

extension PixelNormalization {
    /// The bytes that become these numbers, `[3, height, width]`; what no byte becomes is cut off.
    public func picture(_ pixels: Tensor) throws -> Image {
        precondition(pixels.rank == 3 && pixels.size(0) == 3, "three planes")
        let height = pixels.size(1), width = pixels.size(2), area = height * width
        let values = try pixels.floats()
        var bytes = [UInt8](repeating: 0, count: 3 * area)
        for channel in 0..<3 {
            let (scale, offset) = (Float(deviation[channel] / rescale), Float(mean[channel] / rescale))
            for place in 0..<area {
                let value = (values[channel * area + place] * scale + offset).rounded()
                bytes[place * 3 + channel] = UInt8(max(0, min(255, value.isNaN ? 0 : value)))
            }
        }
        return Image(width: width, height: height, pixels: bytes)
    }
}
