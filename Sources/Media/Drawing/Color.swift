/// A colour with components in 0...1 (sRGB, not premultiplied).
public struct Color: Sendable, Hashable, Codable {
    public var red: Double
    public var green: Double
    public var blue: Double
    public var alpha: Double

    public init(_ red: Double, _ green: Double, _ blue: Double, alpha: Double = 1) {
        self.red = red
        self.green = green
        self.blue = blue
        self.alpha = alpha
    }

    /// Hue in turns (0 red, 1/3 green, 2/3 blue), saturation and value in 0...1.
    public init(hue: Double, saturation: Double, value: Double) {
        func component(_ offset: Double) -> Double {
            let position = (offset + hue * 6).truncatingRemainder(dividingBy: 6)
            let ramp = max(0, min(1, min(position, 4 - position)))
            return value * (1 - saturation * ramp)
        }
        self.init(component(5), component(3), component(1))
    }

    public static let black = Color(0, 0, 0)
    public static let white = Color(1, 1, 1)

    /// Brightness as seen, in 0...1 (Rec. 601 weights on the encoded values).
    public var luma: Double { 0.299 * red + 0.587 * green + 0.114 * blue }

    /// Euclidean distance of the RGB components, 0...√3.
    public func distance(to other: Color) -> Double {
        let (dr, dg, db) = (red - other.red, green - other.green, blue - other.blue)
        return (dr * dr + dg * dg + db * db).squareRoot()
    }

    /// This colour moved towards `other`: 0 stays, 1 arrives.
    public func mixed(with other: Color, _ share: Double) -> Color {
        func mix(_ from: Double, _ to: Double) -> Double { from + (to - from) * share }
        return Color(
            mix(red, other.red), mix(green, other.green), mix(blue, other.blue), alpha: mix(alpha, other.alpha))
    }

    public func withAlpha(_ alpha: Double) -> Color { Color(red, green, blue, alpha: alpha) }
}

/// What a shape is filled or stroked with.
public enum Paint: Sendable, Hashable {
    case color(Color)
    /// Colours spread evenly from one point to the other, the end colours beyond them.
    case linear(from: Point, to: Point, [Color])
    /// Colours spread evenly from the centre to the radius, the last colour beyond it.
    case radial(center: Point, radius: Double, [Color])
}
