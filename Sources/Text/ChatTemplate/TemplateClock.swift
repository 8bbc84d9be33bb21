public import Foundation

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// What a template takes for the present (`strftime_now`).
public struct TemplateClock: Sendable {
    public var now: @Sendable () -> Date
    public var timeZone: TimeZone

    public init(timeZone: TimeZone = .current, now: @escaping @Sendable () -> Date = { Date() }) {
        self.now = now
        self.timeZone = timeZone
    }

    /// A clock that always shows `date`, for results that can be repeated.
    public static func fixed(_ date: Date, timeZone: TimeZone = .gmt) -> TemplateClock {
        TemplateClock(timeZone: timeZone) { date }
    }

    /// `datetime.now().strftime(format)` of Python: C's `strftime`, which prints no zone, and `%f` for microseconds.
    func text(_ format: String) -> String {
        let date = now()
        let seconds = date.timeIntervalSince1970
        guard abs(seconds) < 1e11 else { return "" }
        let whole = seconds.rounded(.down)
        var time = time_t(whole) + timeZone.secondsFromGMT(for: date)
        var parts = tm()
        guard gmtime_r(&time, &parts) != nil else { return "" }
        let micros = String(Int((seconds - whole) * 1e6))
        let fraction = String(repeating: "0", count: max(0, 6 - micros.count)) + micros
        var result = ""
        var piece: [CChar] = Array(repeating: 0, count: 256)
        var rest = format[...]
        while let index = rest.firstIndex(of: "%") {
            result += rest[..<index]
            // A flag or modifier may stand between the sign and its letter.
            var end = rest.index(after: index)
            while end < rest.endIndex, "-_0^#EO".contains(rest[end]) { end = rest.index(after: end) }
            guard end < rest.endIndex else {
                result += rest[index...]
                return result
            }
            let directive = rest[index...end]
            switch rest[end] {
            case "f": result += fraction
            case "z", "Z": break
            default:
                let count = strftime(&piece, piece.count, String(directive), &parts)
                if count > 0 {
                    result += String(decoding: piece.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
                }
            }
            rest = rest[rest.index(after: end)...]
        }
        return result + rest
    }
}
