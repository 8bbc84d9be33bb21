/// A picture as the models see it: 8-bit RGB, row-major, no padding, `height × width × 3` bytes.
public struct Image: Sendable, Hashable {
    public let width: Int
    public let height: Int
    /// Interleaved red, green, blue; row 0 is the top. Always `width * height * 3` bytes.
    public var pixels: [UInt8]

    /// Takes over `pixels`, which must hold exactly `width * height * 3` bytes.
    public init(width: Int, height: Int, pixels: [UInt8]) {
        precondition(width > 0 && height > 0 && pixels.count == width * height * 3, "pixels do not fill the picture")
        self.width = width
        self.height = height
        self.pixels = pixels
    }

    /// A picture of one colour.
    public init(width: Int, height: Int, red: UInt8, green: UInt8, blue: UInt8) {
        precondition(width > 0 && height > 0, "a picture has at least one pixel")
        self.width = width
        self.height = height
        self.pixels = [UInt8](unsafeUninitializedCapacity: width * height * 3) { buffer, count in
            for index in 0..<width * height {
                buffer[index * 3] = red
                buffer[index * 3 + 1] = green
                buffer[index * 3 + 2] = blue
            }
            count = width * height * 3
        }
    }
}
