/// Ends text before the first of several stop texts, and holds back what might become one.
struct StopMatcher {
    private let stops: [[UInt8]]
    /// Text that might be the beginning of a stop text.
    private var held: [UInt8] = []
    private(set) var isStopped = false

    init(_ stops: [String]) { self.stops = stops.map { Array($0.utf8) }.filter { !$0.isEmpty } }

    /// The text that is certain to belong to the answer.
    mutating func push(_ text: String) -> String {
        if stops.isEmpty { return text }
        if isStopped { return "" }
        held += Array(text.utf8)
        var index = 0
        while index < held.count {
            for stop in stops where held.count - index >= stop.count && held[index...].starts(with: stop) {
                isStopped = true
                defer { held = [] }
                return String(decoding: held[..<index], as: UTF8.self)
            }
            // From the first place on where a stop text may begin, everything waits.
            if stops.contains(where: { $0.count > held.count - index && $0.starts(with: held[index...]) }) { break }
            index += 1
        }
        defer { held.removeFirst(index) }
        return String(decoding: held[..<index], as: UTF8.self)
    }

    /// What was held back, once no more follows.
    mutating func finish() -> String {
        defer { held = [] }
        return isStopped ? "" : String(decoding: held, as: UTF8.self)
    }
}
