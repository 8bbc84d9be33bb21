import TestSupport
import Testing

@testable import Text

@Suite struct ExpressionTests {
    /// The matches of a pattern, as strings.
    private func find(_ pattern: String, _ text: String) throws -> [String] {
        let bytes = Array(text.utf8)
        return try Expression(pattern, field: "pattern").matches(bytes, 0..<bytes.count).map {
            String(decoding: bytes[$0], as: UTF8.self)
        }
    }

    @Test(arguments: [WordScanner.gpt2Pattern, WordScanner.qwen2Pattern, WordScanner.llama3Pattern])
    func theScannersGiveWhatTheExpressionsGive(_ pattern: String) throws {
        let scanner = try #require(WordScanner(pattern: pattern))
        let expression = try Expression(pattern, field: "pattern")
        var random = SeededGenerator(11)
        let pieces = [
            "'s", "'LL", "'\u{17F}", "'re", "'", " ", "  ", "\n", "\r\n", "\t", "a", "Été", "12345", "½", "中文", "!?",
            "—", "\u{A0}",
            "\u{85}", "\u{3000}", "\u{301}", "🙂", "न\u{93F}", "\u{1C80}", "Ⅷ",
        ]
        for round in 0..<600 {
            let text =
                round % 2 == 0
                ? random.text(scalars: 30)
                : (0..<12).map { _ in pieces.randomElement(using: &random) ?? "" }.joined()
            let bytes = Array(text.utf8)
            let words = try Pattern.scanner(scanner).matches(bytes, 0..<bytes.count)
            #expect(try expression.matches(bytes, 0..<bytes.count) == words, "\(text.debugDescription)")
        }
    }

    @Test func matchesAsBacktrackingEnginesDo() throws {
        #expect(try find("a|ab", "abab") == ["a", "a"])
        #expect(try find("(?:ab|a)c?", "abcac") == ["abc", "ac"])
        #expect(try find("a+?b", "aab") == ["aab"])
        #expect(try find("a++a", "aaa") == [])
        #expect(try find("(?>a+)b", "aab") == ["aab"])
        #expect(try find("\\d{2,3}", "12345") == ["123", "45"])
        #expect(try find("(?:ab){1,2}", "ababab") == ["abab", "ab"])
        #expect(try find("(?:a*)*b", "aab") == ["aab"])
        #expect(try find("(?<=a)b", "abcb") == ["b"])
        #expect(try find("(?<!a)b", "abcb") == ["b"])
        #expect(try find("[a-c&]+", "xab&c") == ["ab&c"])
        #expect(try find("[^\\s\\p{Lu}]+", "aB c") == ["a", "c"])
        #expect(try find("(?i:straSSe)", "STRASSE") == ["STRASSE"])
        #expect(try find("\\p{Han}+", "a漢字b") == ["漢字"])
        #expect(try find("\\bfoo\\b", "foo food") == ["foo"])
        #expect(try find("[一-龥]", "a一") == ["一"])
        #expect(try find("^a", "a\na") == ["a", "a"])
        #expect(try find("a*", "baa") == ["aa"])
    }

    @Test(arguments: [
        "(", "[a", "a{2", "a{3,1}", "a{1001}", "\\p{Klingon}", "\\1", "(?<name>a)", "*a", "[b-a]", "\\", "(?<=a+)b",
        "[[:alpha:]]",
        "a)", "\\x{110000}",
    ])
    func refusesWhatItDoesNotDo(_ pattern: String) {
        #expect(throws: TokenizerError.self) { try Expression(pattern, field: "pattern") }
    }

    @Test func hasALimitOnTime() {
        let text = Array(String(repeating: "a", count: 64).utf8)
        #expect(throws: TokenizerError.expressionTooSlow(pattern: "(?:a+)+b")) {
            try Expression("(?:a+)+b", field: "pattern").matches(text, 0..<text.count)
        }
        let nested = "(?:" + String(repeating: "(?:a{1000}){1000}", count: 2) + "){1000}"
        #expect(throws: TokenizerError.self) { try Expression(nested, field: "pattern") }
    }
}
