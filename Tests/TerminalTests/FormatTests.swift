import Terminal
import Testing

@Suite struct FormatTests {
    @Test func sizesAndCounts() {
        let sizes = [0, 999, 1000, 1_240_000_000, 999_949, 999_950, 999_999_999, -2_500_000, .max]
        #expect(
            sizes.map(Format.bytes) == [
                "0 B", "999 B", "1.00 kB", "1.24 GB", "1.00 MB", "1.00 MB", "1.00 GB", "-2.50 MB", "9223 PB",
            ])
        #expect([7, 12_345, 8_290_000_000].map(Format.count) == ["7", "12.3 k", "8.29 G"])
        #expect(
            [0, 999, 1000, -1_234_567, .min].map(Format.grouped)
                == ["0", "999", "1,000", "-1,234,567", "-9,223,372,036,854,775,808"])
    }

    @Test func decimals() {
        #expect(
            Format.decimal(1.005, 1) == "1.0" && Format.decimal(-0.001) == "0.00" && Format.decimal(12.3) == "12.30")
        #expect(Format.decimal(.nan) == "nan" && Format.decimal(-.infinity) == "-inf" && Format.decimal(2.5, 0) == "3")
        #expect(Format.percent(0.1234) == "12.3 %" && Format.decimal(1e300) == "1e+300")
    }

    @Test func timeSpans() {
        let seconds = [0.0012, 0.35, 0.9996, 4.23, 9.96, 59.6, 187, 7_387, 273_907, -65, .infinity, .nan]
        #expect(
            seconds.map(Format.duration) == [
                "1.2 ms", "350 ms", "1.0 s", "4.2 s", "10 s", "1:00", "3:07", "2:03:07", "3 d 04:05", "-1:05", "?", "?",
            ])
        #expect(Format.rate(12.34, unit: "image") == "12.3 images/s")
        #expect(Format.rate(0.4, unit: "step") == "2.5 s/step" && Format.rate(0, unit: "step") == "? steps/s")
        #expect(Format.rate(123_456, unit: "token") == "123 k tokens/s")
    }

    @Test func widths() {
        let widths: [(String, Int)] = [
            ("abc", 3), ("größe", 5), ("e\u{301}", 1), ("漢字", 4), ("한국", 4), ("🙂", 2), ("👩‍👩‍👧", 2), ("❤️", 2), ("❤", 1),
            ("a\u{200B}b", 2), ("ｆｕｌｌ", 8), ("🇩🇪", 2), ("", 0), ("━─", 2),
        ]
        for (text, width) in widths { #expect(text.displayWidth == width, "\(text)") }
        #expect("漢字漢字".truncated(to: 5) == "漢字…" && "漢字漢字".truncated(to: 6) == "漢字…")
        #expect("abc".truncated(to: 3) == "abc" && "abcd".truncated(to: 3) == "ab…" && "abc".truncated(to: 0) == "")
        #expect("漢".padded(to: 4) == "漢  " && "1".padded(to: 3, .right) == "  1")
        #expect("a\u{1B}[2Jb\r".printable == "a\u{FFFD}[2Jb\u{FFFD}")
    }

    @Test func tablesLineUp() {
        var table = Table([.init("model"), .init("tokens/s", .right)])
        table.add("qwen2-vl", "12.3")
        table.add("模型", "1,234.5", "ignored")
        table.add("x")
        #expect(
            table.text() == """
                model     tokens/s
                --------  --------
                qwen2-vl      12.3
                模型       1,234.5
                x
                """)
        #expect(table.text(width: 6).split(separator: "\n").allSatisfy { $0.count <= 6 })
        #expect(
            table.markdown == """
                | model | tokens/s |
                | --- | ---: |
                | qwen2-vl | 12.3 |
                | 模型 | 1,234.5 |
                | x |  |
                """)
    }
}
