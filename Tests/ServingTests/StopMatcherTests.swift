@testable import Serving
import Testing

@Suite struct StopMatcherTests {
    /// However a text is cut into pieces, what comes out is the text before the first stop.
    @Test(arguments: [
        ("Hello END world", ["END"], "Hello "), ("aaab", ["aab"], "a"), ("no stop here", ["xyz"], "no stop here"),
        ("almost EN", ["END"], "almost EN"), ("ab", ["b", "ab"], ""),
        ("naïve ✓ stop", ["✓"], "naïve "), ("x", [""], "x"),
    ])
    func theTextBeforeTheFirstStop(_ text: String, _ stops: [String], _ expected: String) {
        for size in 1...text.count {
            var matcher = StopMatcher(stops), result = ""
            var rest = Substring(text)
            while !rest.isEmpty, !matcher.isStopped {
                result += matcher.push(String(rest.prefix(size)))
                rest = rest.dropFirst(size)
            }
            result += matcher.finish()
            #expect(result == expected, "pieces of \(size)")
        }
    }
}
