import Media

/// The colours that answers name. Grey is left to backgrounds and clutter.
enum NamedColor: String, CaseIterable, Sendable {
    case red, orange, yellow, green, blue, purple, pink, brown, black, white

    var chinese: String {
        switch self {
        case .red: "红色"
        case .orange: "橙色"
        case .yellow: "黄色"
        case .green: "绿色"
        case .blue: "蓝色"
        case .purple: "紫色"
        case .pink: "粉色"
        case .brown: "棕色"
        case .black: "黑色"
        case .white: "白色"
        }
    }

    func name(_ language: SyntheticLanguage) -> String { language == .english ? rawValue : chinese }

    /// Hue in degrees, saturation and value: centre and spread of each, so narrow that names never meet.
    private var recipe: (hue: Double, hueSpread: Double, saturation: ClosedRange<Double>, value: ClosedRange<Double>) {
        switch self {
        case .red: (0, 6, 0.85...1, 0.75...0.95)
        case .orange: (29, 4, 0.9...1, 0.95...1)
        case .yellow: (55, 4, 0.85...1, 0.92...1)
        case .green: (125, 20, 0.7...1, 0.5...0.8)
        case .blue: (222, 12, 0.75...1, 0.7...0.95)
        case .purple: (282, 9, 0.65...0.9, 0.5...0.75)
        case .pink: (337, 8, 0.35...0.5, 0.96...1)
        case .brown: (25, 5, 0.65...0.8, 0.38...0.5)
        case .black: (0, 180, 0...0.2, 0...0.1)
        case .white: (0, 180, 0...0.02, 0.97...1)
        }
    }

    /// A shade that everybody would call by this name.
    func shade(using generator: inout SeededGenerator) -> Color {
        let recipe = recipe
        let hue = recipe.hue + generator.uniform(-recipe.hueSpread...recipe.hueSpread)
        return Color(
            hue: (hue + 360).truncatingRemainder(dividingBy: 360) / 360,
            saturation: generator.uniform(recipe.saturation), value: generator.uniform(recipe.value))
    }

    /// The middle of the shades.
    var typical: Color {
        let recipe = recipe
        func middle(_ range: ClosedRange<Double>) -> Double { (range.lowerBound + range.upperBound) / 2 }
        return Color(hue: recipe.hue / 360, saturation: middle(recipe.saturation), value: middle(recipe.value))
    }
}

/// The shapes that answers name, chosen to be told apart at 18 pixels.
enum ShapeKind: String, CaseIterable, Sendable {
    case circle, square, triangle, star, diamond, cross, heart, ring

    var chinese: String {
        switch self {
        case .circle: "圆形"
        case .square: "正方形"
        case .triangle: "三角形"
        case .star: "星形"
        case .diamond: "菱形"
        case .cross: "十字形"
        case .heart: "心形"
        case .ring: "圆环"
        }
    }

    func name(_ language: SyntheticLanguage) -> String { language == .english ? rawValue : chinese }
    var plural: String { self == .cross ? "crosses" : rawValue + "s" }

    /// How far the shape may be turned before it looks like another one, in radians.
    var turn: Double {
        switch self {
        case .circle, .ring: 0
        case .square, .diamond, .cross: 0.16
        case .triangle, .heart, .star: 0.25
        }
    }

    /// The shape within -0.5...0.5 on both axes; to be filled by the even-odd rule.
    var path: Path {
        let origin = Point(0, 0)
        switch self {
        case .circle: return .circle(origin, radius: 0.5)
        case .square: return .rectangle(Rectangle(x: -0.45, y: -0.45, width: 0.9, height: 0.9))
        case .triangle: return .polygon([Point(0, -0.48), Point(0.5, 0.42), Point(-0.5, 0.42)])
        case .star: return .star(points: 5, center: Point(0, 0.04), radius: 0.54, inner: 0.23)
        case .diamond: return .polygon([Point(0, -0.52), Point(0.37, 0), Point(0, 0.52), Point(-0.37, 0)])
        case .cross:
            let (reach, arm) = (0.48, 0.16)
            return .polygon([
                Point(-arm, -reach), Point(arm, -reach), Point(arm, -arm), Point(reach, -arm), Point(reach, arm),
                Point(arm, arm), Point(arm, reach), Point(-arm, reach), Point(-arm, arm), Point(-reach, arm),
                Point(-reach, -arm), Point(-arm, -arm),
            ])
        case .heart:
            var path = Path()
            path.move(0, 0.48)
            path.curve(Point(-0.35, 0.2), Point(-0.5, 0), to: Point(-0.5, -0.18))
            path.curve(Point(-0.5, -0.52), Point(-0.08, -0.52), to: Point(0, -0.2))
            path.curve(Point(0.08, -0.52), Point(0.5, -0.52), to: Point(0.5, -0.18))
            path.curve(Point(0.5, 0), Point(0.35, 0.2), to: Point(0, 0.48))
            path.close()
            return path
        case .ring:
            var path = Path.circle(origin, radius: 0.5)
            path.append(.circle(origin, radius: 0.27))
            return path
        }
    }
}

/// A colour and a shape: what "red circle" means.
struct ObjectKind: Hashable, Sendable {
    var color: NamedColor
    var shape: ShapeKind

    func name(_ language: SyntheticLanguage) -> String {
        switch language {
        case .english: "\(color.rawValue) \(shape.rawValue)"
        case .chinese: color.chinese + shape.chinese
        }
    }
}
