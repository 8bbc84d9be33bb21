/// Numbers as people read them, the same in every locale.
public enum Format {
    /// A number with so many decimals: `12.30`.
    public static func decimal(_ value: Double, _ decimals: Int = 2) -> String {
        guard value.isFinite else { return value.isNaN ? "nan" : value < 0 ? "-inf" : "inf" }
        let scale = (0..<max(0, decimals)).reduce(1.0) { result, _ in result * 10 }
        let scaled = (abs(value) * scale).rounded()
        guard scaled < 1e15 else { return "\(value)" }
        let whole = Int(scaled)
        let sign = value < 0 && whole > 0 ? "-" : ""
        guard decimals > 0 else { return sign + String(whole) }
        let digits = String(whole % Int(scale))
        return "\(sign)\(whole / Int(scale)).\(String(repeating: "0", count: decimals - digits.count))\(digits)"
    }

    /// A size in decimal units, as disks and the hub count: `1.24 GB`.
    public static func bytes(_ count: Int) -> String { scaled(Double(count), ["B", "kB", "MB", "GB", "TB", "PB"]) }

    /// A count, shortened: `1.24 M`, `987`.
    public static func count(_ count: Int) -> String { scaled(Double(count), ["", "k", "M", "G", "T", "P"]) }

    private static func scaled(_ value: Double, _ units: [String]) -> String {
        var (rest, unit) = (abs(value), 0)
        // 999.95 would round to 1000.
        while rest >= 999.5, unit < units.count - 1 {
            rest /= 1000
            unit += 1
        }
        let decimals = unit == 0 || rest >= 99.95 ? 0 : rest >= 9.995 ? 1 : 2
        let text = (value < 0 ? "-" : "") + decimal(rest, decimals)
        return units[unit].isEmpty ? text : "\(text) \(units[unit])"
    }

    /// A whole number with its thousands set apart: `1,234,567`.
    public static func grouped(_ value: Int) -> String {
        let digits = Array(String(value.magnitude))
        let groups = digits.indices.map { index in
            (index > 0 && (digits.count - index) % 3 == 0 ? "," : "") + String(digits[index])
        }
        return (value < 0 ? "-" : "") + groups.joined()
    }

    /// A time span: `350 ms`, `4.2 s`, `3:07`, `2:03:07`, `3 d 04:05`.
    public static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds < 1e12 else { return "?" }
        guard seconds >= 0 else { return "-" + duration(-seconds) }
        if seconds < 0.9995 { return "\(decimal(seconds * 1000, seconds < 0.00995 ? 1 : 0)) ms" }
        if seconds < 9.95 { return "\(decimal(seconds, 1)) s" }
        let total = Int(seconds.rounded())
        if total < 60 { return "\(total) s" }
        let (days, hours, minutes) = (total / 86400, total / 3600 % 24, total / 60 % 60)
        if days > 0 { return "\(days) d \(two(hours)):\(two(minutes))" }
        if hours > 0 { return "\(hours):\(two(minutes)):\(two(total % 60))" }
        return "\(minutes):\(two(total % 60))"
    }

    private static func two(_ value: Int) -> String { value < 10 ? "0\(value)" : String(value) }

    /// How fast something goes: `12.3 images/s`, and `2.50 s/step` for what takes longer than a second each.
    public static func rate(_ perSecond: Double, unit: String) -> String {
        guard perSecond.isFinite, perSecond > 0 else { return "? \(unit)s/s" }
        if perSecond < 0.995 { return "\(perSecond < 1e-9 ? "?" : duration(1 / perSecond))/\(unit)" }
        if perSecond >= 1000 { return "\(count(Int(min(perSecond, 1e17)))) \(unit)s/s" }
        return "\(decimal(perSecond, perSecond < 9.995 ? 2 : perSecond < 99.95 ? 1 : 0)) \(unit)s/s"
    }

    /// A share: `12.3 %`.
    public static func percent(_ share: Double, _ decimals: Int = 1) -> String { "\(decimal(share * 100, decimals)) %" }
}
