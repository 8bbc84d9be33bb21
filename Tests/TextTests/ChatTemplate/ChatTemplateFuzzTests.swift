import Foundation
import Testing

@testable import Text

@Suite struct ChatTemplateFuzzTests {
    /// A small generator with a known sequence (SplitMix64).
    struct Random {
        var state: UInt64

        mutating func next(below bound: Int) -> Int {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return Int((z ^ (z >> 31)) % UInt64(max(1, bound)))
        }
    }

    static let words = [
        "{{", "}}", "{%", "%}", "{#", "#}", "-", "+", "if", "else", "endif", "for", "in", "endfor", "set", "endset",
        "macro m(a, b=1)", "endmacro", "call m(1)", "endcall", "filter upper", "endfilter", "raw", "endraw", "messages",
        "loop", ".index", ".content", "[0]", "[::-1]", "[-1:]", "[9223372036854775807]", "|", "tojson", "join", "sort",
        "map('upper')", "select('odd')", "groupby('role')", "is", "not", "defined", "~", "*", "**", "//", "%", "/", "(",
        ")", "'", "\"", "9223372036854775807", "-9223372036854775808", "1e308", "0", "1.5", "none", "'%s %d'",
        "'{:>5}'.format", "range(5)", "batch(0)", "slice(-1)", "round(-20)", "int(base=99)", "truncate(0)",
        "center(-5)",
        "split('a', -1)", "indent(-3)", "namespace(a=1)", "\n", " ", "\r\n", "é", "\u{0}", "\u{1F600}", "\\", "\\u",
        ":",
        ",", "=", "{", "}", "generation", "endgeneration", "recursive", "break", "continue", "cycler()", "'x' * ",
    ]

    @Test func survivesMutations() throws {
        let folder = TemplateCases.checkout.appending(path: "Tests/Goldens/chat_templates")
        let language = try String(contentsOf: folder.appending(path: "language.txt"), encoding: .utf8)
        var seeds = language.components(separatedBy: "\n---\n").map { $0.contains("{") ? $0 : "{{ \($0) }}" }
        for file in try FileManager.default.contentsOfDirectory(atPath: folder.appending(path: "styles").path) {
            seeds.append(try String(contentsOf: folder.appending(path: "styles/" + file), encoding: .utf8))
        }
        seeds.sort()
        // More for a long run by hand: the variables `OMMA_FUZZ_ROUNDS` and `OMMA_FUZZ_SEED`.
        let environment = ProcessInfo.processInfo.environment
        var random = Random(state: environment["OMMA_FUZZ_SEED"].flatMap { UInt64($0) } ?? 20)
        for _ in 0..<(environment["OMMA_FUZZ_ROUNDS"].flatMap { Int($0) } ?? 4000) {
            var bytes = Array(seeds[random.next(below: seeds.count)].utf8)
            for _ in 0...random.next(below: 4) {
                let place = random.next(below: bytes.count + 1)
                switch random.next(below: 5) {
                case 0: bytes.insert(contentsOf: Self.words[random.next(below: Self.words.count)].utf8, at: place)
                case 1: if place < bytes.count { bytes[place] = UInt8(random.next(below: 256)) }
                case 2: bytes.removeSubrange(place..<min(bytes.count, place + random.next(below: 12)))
                case 3:
                    let other = Array(seeds[random.next(below: seeds.count)].utf8)
                    bytes.insert(contentsOf: other.prefix(random.next(below: other.count)), at: place)
                default: bytes.append(contentsOf: bytes.prefix(place))
                }
            }
            bytes.withUnsafeBytes { fuzzChatTemplate($0) }
        }
    }

    /// Every filter, test and method, on values of every kind, with arguments at the edges.
    @Test func survivesEveryPairing() throws {
        let values = [
            "none", "true", "0", "-9223372036854775807 - 1", "9223372036854775807", "1.5", "1e308", "'nan' | float",
            "'inf' | float", "''", "'a b'", "'é\\n'", "[]", "[1, 'a', none]", "(1, )", "{}", "{'a': 1}", "nope",
            "range(3)", "range(9223372036854775806, 9223372036854775807)", "[1] | map('string')", "namespace(a=1)",
            "range", "{'a': 1}.items()",
        ]
        let arguments = [
            "", "none", "0", "-1", "9223372036854775807", "-9223372036854775807 - 1", "1.5", "''", "'a'", "'odd', 2",
            "0, 0", "1, -1", "'a', 'b', -1", "[1]", "attribute='a'", "2, 'ceil'", "true, true, true",
        ]
        var sources: [String] = []
        for name in Jinja.Filters.table.keys.sorted() { sources += arguments.map { "| \(name)(\($0))" } }
        for name in Jinja.Tests.table.keys.sorted() where name.first?.isLetter == true {
            sources += arguments.map { "is \(name)(\($0))" }
        }
        for name in Jinja.StringMethods.table.keys.sorted() + ["get", "count", "index", "keys", "is_integer"] {
            sources += arguments.map { ".\(name)(\($0))" }
        }
        sources += arguments.filter { !$0.isEmpty && !$0.contains(",") && !$0.contains("=") }.flatMap { argument in
            ["+", "-", "*", "/", "//", "%", "**", "<", "==", "in", "~"].map { "\($0) (\(argument))" }
                + [
                    "[\(argument)]", "[\(argument):]", "[:\(argument)]", "[::\(argument)]",
                    "[\(argument)::\(argument)]",
                ]
        }
        let limits = TemplateLimits(steps: 20_000, allocation: 100_000)
        for source in sources {
            let template = try? ChatTemplate("{% set r = (v) \(source) %}{{ r }}{{ r | list }}")
            for value in values {
                let expression = try ChatTemplate("{% set v = \(value) %}{{ (v) \(source) }}")
                _ = try? expression.render([:], limits: limits)
            }
            _ = try? template?.render(["v": "a"], limits: limits)
        }
    }
}
