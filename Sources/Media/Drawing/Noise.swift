extension Image {
    /// A picture of the same size whose bytes are all random.
    public static func noise(like image: Image, using generator: inout SeededGenerator) -> Image {
        let count = image.pixels.count
        let pixels = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            var bits: UInt64 = 0
            for index in 0..<count {
                if index.isMultiple(of: 8) { bits = generator.next() }
                buffer[index] = UInt8(truncatingIfNeeded: bits)
                bits >>= 8
            }
            filled = count
        }
        return Image(width: image.width, height: image.height, pixels: pixels)
    }

    /// Standard normal values times 32, to be added without computing logarithms pixel by pixel.
    private static let normals: [Int32] = {
        var generator = SeededGenerator(seed: 0x4E4F_4953_45)
        return (0..<1 << 15).map { _ in Int32((generator.normal() * 32).rounded()) }
    }()

    /// Adds normal noise with the given standard deviation in grey levels (0...64 makes sense).
    ///
    /// - Parameter monochrome: one value a pixel for all three channels, as of brightness; else one a channel.
    public mutating func addNoise(deviation: Double, monochrome: Bool, using generator: inout SeededGenerator) {
        let scale = Int32((max(0, min(deviation, 255)) * 32).rounded())
        guard scale > 0 else { return }
        let mask = Self.normals.count - 1
        let (width, height) = (self.width, self.height)
        Self.normals.withUnsafeBufferPointer { normals in
            pixels.withUnsafeMutableBufferPointer { pixels in
                for row in 0..<height {
                    // A random start a row: the table's period never shows.
                    let start = Int(truncatingIfNeeded: generator.next() >> 40)
                    let first = row * width * 3
                    for column in 0..<width * 3 {
                        let step = monochrome ? column / 3 : column
                        let noise = (normals[(start + step) & mask] * scale + 512) >> 10
                        let value = Int32(pixels[first + column]) + noise
                        pixels[first + column] = UInt8(truncatingIfNeeded: max(0, min(255, value)))
                    }
                }
            }
        }
    }
}
