import Foundation
import ModelTestSupport
import Models
import Testing
import Text

@testable import Serving

/// Constrained answers: what a grammar lets through is what its schema describes.
@Suite struct GrammarTests {
    private func accepts(_ grammar: Grammar, _ text: String) -> Bool {
        var state = GrammarState(grammar)
        for byte in text.utf8 {
            state = state.advanced(byte, grammar)
            if state.isDead { return false }
        }
        return state.isComplete
    }

    private func grammar(_ schema: String) throws -> Grammar {
        try JSONSchemaCompiler.grammar([("", OrderedJSON(parsing: schema), "")])
    }

    @Test func textsThatFulfilASchema() throws {
        let schema = """
            {"type": "object", "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 4},
             "age": {"type": "integer"}, "tags": {"type": "array", "items": {"enum": ["a", "b", 3]}, "maxItems": 2},
             "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["name", "next"],
             "additionalProperties": false}
            """
        let grammar = try grammar(schema)
        for text in [
            #"{"name":"x","next":null}"#, #"{"name": "Jörg", "age": -30, "tags": ["a", 3], "next": null}"#,
            #"{"name":"\u00e9\n","tags":[],"next":{"name":"y","next":null}}"#, #"{"name":"日本","next":null}"#,
        ] { #expect(accepts(grammar, text), "\(text)") }
        for text in [
            #"{"name":"","next":null}"#, #"{"name":"12345","next":null}"#, #"{"name":"x"}"#, #"{"next":null}"#,
            #"{"name":"x","age":1.5,"next":null}"#, #"{"name":"x","age":01,"next":null}"#, #"{"name":"x","next":3}"#,
            #"{"name":"x","tags":["a","b","a"],"next":null}"#, #"{"name":"x","tags":["c"],"next":null}"#,
            #"{"name":"x","next":null,"more":1}"#, #"{"name":"x","next":null}x"#, #"{"name":"x","next":null"#,
            "{\"name\":\"\n\",\"next\":null}", #"{"name":"\ud800","next":null}"#, #"{"name":"\x","next":null}"#,
            #"{"name":"x",,"next":null}"#, #"{"name":"x" ,"next":null}"#,
        ] { #expect(!accepts(grammar, text), "\(text)") }
        var broken = Array(#"{"name":""#.utf8) + [0xC3, 0x28]
        broken += Array(#"","next":null}"#.utf8)
        var state = GrammarState(grammar)
        for byte in broken { state = state.advanced(byte, grammar) }
        #expect(state.isDead)
    }

    /// Words with texts that fulfil them and texts that do not.
    @Test(arguments: [
        (
            ##"{"type":"string","pattern":"^a+b?$"}"##, ["\"a\"", "\"aaab\""],
            ["\"\"", "\"b\"", "\"abb\"", "\"xa\"", "a"]
        ),
        (##"{"type":"string","pattern":"a+"}"##, ["\"a\"", "\"xax\""], ["\"\"", "\"bcd\""]),
        (
            ##"{"pattern":"^(?:x|^y)$|z$","type":"string"}"##, ["\"x\"", "\"y\"", "\"uz\""],
            ["\"xy\"", "\"zu\"", "\"\""]
        ),
        (
            ##"{"type":"string","pattern":"^[^a-c\\d]{2,3}$"}"##, ["\"xy\"", "\"é日z\"", "\"\\n\\\"\""],
            ["\"x\"", "\"xa\"", "\"x1\""]
        ),
        (##"{"type":"string","pattern":"^\\u00e9\\x41\\u{1F600}$"}"##, ["\"éA😀\""], ["\"eA😀\"", "\"éA😁\""]),
        (
            ##"{"type":"string","pattern":"^a*$","minLength":2,"maxLength":3}"##, ["\"aa\"", "\"aaa\""],
            ["\"a\"", "\"aaaa\""]
        ),
        (
            ##"{"type":"string","format":"date"}"##, ["\"2024-02-29\"", "\"1999-12-31\""],
            ["\"2023-02-29\"", "\"1900-02-29\"", "\"2024-04-31\"", "\"2024-13-01\"", "\"24-01-01\""]
        ),
        (
            ##"{"type":"string","format":"uuid"}"##, ["\"123e4567-e89b-12d3-a456-426614174000\""],
            ["\"123e4567\"", "\"x\""]
        ),
        (
            ##"{"type":"string","format":"date-time"}"##,
            ["\"2024-02-29T23:59:59Z\"", "\"2024-01-01T00:00:00.5+01:00\""], ["\"2024-01-01\""]
        ),
        (##"{"type":"string","format":"ipv4"}"##, ["\"255.0.10.1\""], ["\"256.0.0.1\"", "\"1.2.3\"", "\"01.2.3.4\""]),
        (
            ##"{"type":"integer","minimum":3,"maximum":12}"##, ["3", "9", "10", "12"],
            ["2", "13", "1", "100", "-5", "03", "3.0"]
        ),
        (
            ##"{"type":"integer","exclusiveMinimum":-12,"exclusiveMaximum":5}"##, ["-11", "-9", "0", "4"],
            ["-12", "5", "-0", "-20"]
        ),
        (##"{"type":"integer","minimum":95,"multipleOf":7}"##, ["98", "105", "700"], ["95", "91", "99", "0"]),
        (##"{"type":"integer","minimum":-3}"##, ["-3", "0", "999999999999999"], ["-4", "1000000000000000"]),
        (
            ##"{"type":"number","minimum":0,"maximum":1}"##, ["0", "1", "0.5", "1.000", "0.000001"],
            ["-0.1", "1.1", "1.0001", "2", "0.", "."]
        ),
        (
            ##"{"type":"number","exclusiveMinimum":0.1,"maximum":12.75}"##, ["0.2", "0.100001", "12.75", "9.9"],
            ["0.1", "0.10", "12.76", "13", "0"]
        ),
        (
            ##"{"type":"number","multipleOf":0.25,"minimum":-1}"##, ["-1", "0.25", "0.5", "-0.75", "3.50"],
            ["0.3", "-1.25", "0.125"]
        ),
        (##"{"type":"number","exclusiveMaximum":-1e-3}"##, ["-0.0011", "-7"], ["-0.001", "0", "1"]),
        (##"{"oneOf":[{"type":"string"},{"type":"integer"}]}"##, ["\"x\"", "5"], ["1.5", "null"]),
        (
            ##"{"oneOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/b"}],"$defs":{"a":{"type":"object","properties":{"kind":{"const":"a"}},"required":["kind"]},"b":{"type":"object","properties":{"kind":{"enum":["b","c"]},"n":{"type":"integer"}},"required":["kind","n"]}}}"##,
            [#"{"kind":"a"}"#, #"{"kind":"c","n":1}"#], [#"{"kind":"b"}"#, #"{"kind":"d"}"#]
        ),
        (
            ##"{"allOf":[{"$ref":"#/$defs/a"},{"properties":{"y":{"type":"null"}},"required":["y"]}],"$defs":{"a":{"type":"object","properties":{"x":{"type":"integer","minimum":1}},"required":["x"]}}}"##,
            [#"{"x":1,"y":null}"#], [#"{"x":1}"#, #"{"x":0,"y":null}"#]
        ),
        (##"{"type":"integer","allOf":[{"minimum":3},{"maximum":4}]}"##, ["3", "4"], ["2", "5"]),
        (
            ##"{"type":"array","prefixItems":[{"type":"integer"},{"type":"null"}],"items":false}"##,
            ["[]", "[1]", "[1,null]"], ["[null]", "[1,null,2]"]
        ),
        (
            ##"{"type":"array","prefixItems":[{"type":"integer"}],"items":{"type":"null"},"minItems":2,"maxItems":3}"##,
            ["[1,null]", "[1,null,null]"], ["[1]", "[1,null,null,null]", "[null]"]
        ),
        (
            ##"{"type":"object","additionalProperties":{"type":"integer"},"propertyNames":{"pattern":"^[ab]+$"},"maxProperties":2}"##,
            ["{}", #"{"ab":1}"#], [#"{"c":1}"#, #"{"a":1,"b":2,"aa":3}"#]
        ),
        (##"{"type":"string","enum":["a",1,null]}"##, ["\"a\""], ["1", "null"]),
        (##"{"type":["integer","null"],"minimum":5}"##, ["5", "null"], ["4", "\"x\""]),
        (##"{"type":"array","items":{"type":"null"},"uniqueItems":false}"##, ["[]", "[null]"], ["[1]"]),
        (
            ##"{"type":"array","items":{"enum":["a","b",3]},"uniqueItems":true,"minItems":1}"##,
            ["[\"a\"]", "[3,\"a\"]", "[\"b\", 3, \"a\"]"], ["[]", "[3,3]", "[\"a\",\"b\",\"a\"]", "[4]"]
        ),
        (
            ##"{"type":"array","items":{"type":"boolean"},"uniqueItems":true,"maxItems":2}"##,
            ["[]", "[true]", "[false,true]"], ["[true,true]", "[true,false,true]"]
        ),
        (
            ##"{"type":"array","items":{"type":"string"},"uniqueItems":true,"maxItems":1}"##, ["[]", "[\"x\"]"],
            ["[\"x\",\"y\"]"]
        ),
        (##"{"type":"string","not":{"enum":["a","ab"]}}"##, ["\"\"", "\"abc\"", "\"b\""], ["\"a\"", "\"ab\"", "1"]),
        (##"{"type":"string","not":{"pattern":"^a|z"}}"##, ["\"\"", "\"ba\""], ["\"ab\"", "\"xz\""]),
        (
            ##"{"type":["integer","null","boolean"],"not":{"enum":[3,null,false]}}"##, ["2", "4", "-3", "true"],
            ["3", "null", "false"]
        ),
        (
            ##"{"type":"integer","minimum":0,"maximum":9,"not":{"minimum":3,"maximum":6}}"##, ["0", "2", "7", "9"],
            ["3", "6", "10", "-1"]
        ),
        (##"{"enum":["a","b",1],"not":{"const":"b"}}"##, ["\"a\"", "1"], ["\"b\""]),
        (##"{"not":{"type":["string","number","object"]}}"##, ["null", "true", "[]"], ["\"\"", "1", "{}", "1.5"]),
        (
            ##"{"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"}},"not":{"required":["a","b"]}}"##,
            ["{}", #"{"a":null}"#, #"{"b":null}"#], [#"{"a":null,"b":null}"#]
        ),
        (
            ##"{"type":"object","properties":{"kind":{"enum":["a","b"]},"n":{"type":"integer"}},"required":["kind"],"additionalProperties":false,"if":{"properties":{"kind":{"const":"a"}}},"then":{"required":["n"]},"else":{"properties":{"n":{"minimum":5,"type":"integer"}}}}"##,
            [#"{"kind":"a","n":1}"#, #"{"kind":"b"}"#, #"{"kind":"b","n":5}"#],
            [#"{"kind":"a"}"#, #"{"kind":"b","n":1}"#]
        ),
        (
            ##"{"type":"integer","if":{"maximum":9},"then":{"multipleOf":2},"else":{"multipleOf":5}}"##,
            ["2", "8", "10", "15"], ["3", "5", "12"]
        ),
        (
            ##"{"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"},"c":{"type":"null"}},"dependentRequired":{"a":["c"],"c":["b"]}}"##,
            ["{}", #"{"b":null}"#, #"{"b":null,"c":null}"#, #"{"a":null,"b":null,"c":null}"#],
            [#"{"a":null}"#, #"{"a":null,"c":null}"#, #"{"c":null}"#, #"{"a":null,"b":null}"#]
        ),
        (
            ##"{"type":"object","properties":{"a":{"type":"null"},"b":{"type":"integer"}},"dependentSchemas":{"a":{"required":["b"],"properties":{"b":{"minimum":3,"type":"integer"}}}}}"##,
            ["{}", #"{"b":1}"#, #"{"a":null,"b":3}"#], [#"{"a":null}"#, #"{"a":null,"b":1}"#]
        ),
        (
            ##"{"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"},"c":{"type":"null"}},"minProperties":1,"maxProperties":2}"##,
            [#"{"a":null}"#, #"{"b":null,"c":null}"#], ["{}", #"{"a":null,"b":null,"c":null}"#]
        ),
        (
            ##"{"type":"object","patternProperties":{"^n":{"type":"integer"},"_s$":{"type":"null"}},"additionalProperties":false}"##,
            ["{}", #"{"n1":3,"x_s":null}"#], [#"{"n1":null}"#, #"{"x":3}"#, #"{"n_s":3}"#, #"{"n_s":null}"#]
        ),
        (
            ##"{"type":"object","patternProperties":{"^n":{"type":"integer"}},"additionalProperties":{"type":"null"}}"##,
            [#"{"n":3}"#, #"{"x":null,"n2":1}"#], [#"{"n":null}"#, #"{"x":3}"#]
        ),
        (
            ##"{"type":"object","properties":{"n1":{"minimum":3},"x":{"type":"null"}},"patternProperties":{"^n":{"type":"integer"}}}"##,
            [#"{"n1":3}"#, #"{"x":null}"#], [#"{"n1":3.5}"#, #"{"n1":2}"#]
        ),
        (
            ##"{"allOf":[{"type":"object","properties":{"a":{"type":"null"}},"additionalProperties":false},{"properties":{"b":true}}]}"##,
            ["{}", #"{"a":null}"#], [#"{"b":1}"#]
        ),
        (##"{"type":"object","properties":{"a":false,"b":{"type":"null"}}}"##, ["{}", #"{"b":null}"#], [#"{"a":1}"#]),
        (
            ##"{"allOf":[{"anyOf":[{"type":"integer"},{"type":"null"}]},{"anyOf":[{"type":"string"},{"minimum":3,"type":"integer"}]}]}"##,
            ["3"], ["2", "null", "\"\""]
        ),
    ])
    func wordsAreKeptTo(_ schema: String, _ good: [String], _ bad: [String]) throws {
        let grammar = try grammar(schema)
        for text in good { #expect(accepts(grammar, text), "\(text) for \(schema)") }
        for text in bad { #expect(!accepts(grammar, text), "\(text) for \(schema)") }
    }

    @Test(arguments: [
        ##"{"not":{}}"##, "3", "false", ##"{"type":"x"}"##, ##"{"$ref":"#"}"##, ##"{"$ref":"http://x"}"##,
        ##"{"$ref":"#/$defs/x"}"##, ##"{"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]}"##,
        ##"{"enum":[]}"##, ##"{"type":"array","minItems":3,"maxItems":1}"##, ##"{"anyOf":[{"$ref":"#"}]}"##,
        ##"{"type":"object","required":["x"]}"##, ##"{"type":[]}"##, ##"{"type":"array","uniqueItems":true}"##,
        ##"{"type":"string","pattern":"(?=a)"}"##,
        ##"{"type":"string","pattern":"(a)\\1"}"##, ##"{"type":"string","pattern":"\\bx"}"##,
        ##"{"type":"string","pattern":"("}"##, ##"{"type":"string","pattern":"[z-a]"}"##,
        ##"{"type":"string","pattern":"a**"}"##, ##"{"type":"string","pattern":"*a"}"##,
        ##"{"type":"string","pattern":"^a{3}$","maxLength":2}"##, ##"{"type":"string","pattern":"x^"}"##,
        ##"{"type":"string","pattern":"(((x{1,900}){1,900}){1,900})"}"##, ##"{"type":"string","pattern":3}"##,
        ##"{"type":"string","pattern":"(a|b)*a(a|b){20}"}"##, ##"{"type":"string","minLength":-1}"##,
        ##"{"type":"integer","minimum":5,"maximum":4}"##, ##"{"type":"integer","minimum":"3"}"##,
        ##"{"type":"integer","exclusiveMinimum":4,"exclusiveMaximum":5}"##, ##"{"type":"number","multipleOf":0}"##,
        ##"{"type":"number","multipleOf":-2}"##, ##"{"type":"integer","exclusiveMinimum":true}"##,
        ##"{"oneOf":[{"type":"number"},{"type":"integer"}]}"##, ##"{"oneOf":[{"type":"string"},{"minLength":3}]}"##,
        ##"{"oneOf":[{"type":"object"},{"type":"object"}]}"##, ##"{"oneOf":[]}"##,
        ##"{"allOf":[{"type":"string"},{"type":"null"}]}"##, ##"{"allOf":[{"$ref":"#"}]}"##,
        ##"{"allOf":[{"type":"string","pattern":"a"},{"pattern":"b"}]}"##, ##"{"type":"string","enum":[1]}"##,
        ##"{"enum":[1,2],"minimum":2}"##, ##"{"const":1,"enum":[2]}"##, ##"{"minimum":3,"minLength":2}"##,
        ##"{"type":"object","minProperties":2}"##,
        ##"{"type":"array","prefixItems":[true],"items":false,"minItems":2}"##,
        ##"{"type":"array","contains":{"type":"null"}}"##, ##"{"not":{"format":"date"}}"##,
        ##"{"type":"array","items":{"type":"integer"},"uniqueItems":true}"##, ##"{"not":{"const":[1]}}"##,
        ##"{"type":"array","items":{"enum":[1,2]},"uniqueItems":true,"minItems":3}"##, ##"{"not":true}"##,
        ##"{"type":"string","not":{"type":"string"}}"##, ##"{"enum":[1],"not":{"const":1}}"##,
        ##"{"type":"object","properties":{"a":true},"minProperties":2}"##, ##"{"dependentRequired":{"a":"b"}}"##,
        ##"{"type":"object","patternProperties":{"(":true}}"##, ##"{"if":{"contains":true},"then":false}"##,
        ##"{"type":"object","required":["a"],"properties":{"a":false}}"##, ##"{"unevaluatedProperties":false}"##,
    ])
    func schemasThatCannotBeFollowedAreErrors(_ schema: String) throws {
        #expect(throws: SchemaError.self, "\(schema)") { try self.grammar(schema) }
    }

    /// Patterns and ranges against readers that others wrote.
    @Test func automataAgreeWithOtherReaders() throws {
        let patterns = [
            "^(ab|a)(c|bcd)(d*)$", "^[a-c]?[b-d]{2}$", "a.c|^d$", "^(a*b|c)+$", "[^ab]$", "^\\w{2}\\W?$",
            "(?:ab){1,2}?c",
            "^$|^a", "^(?:a|ab|abc)d$", "^.{2}$", "\\d-[0-2]+",
        ]
        var compared = 0, random = SystemGenerator(state: 7)
        for pattern in patterns {
            let quoted = try JSONEncoder().encode(pattern)
            let grammar = try grammar(##"{"type":"string","pattern":\##(String(decoding: quoted, as: UTF8.self))}"##)
            let other = try NSRegularExpression(pattern: pattern)
            for _ in 0..<800 {
                let text = String(
                    (0..<Int.random(in: 0...6, using: &random)).map { _ in
                        (pattern.contains(#"\w"#) ? "abcd0-2 " : "abcd0-2 é").randomElement(using: &random) ?? "a"
                    })
                let found = other.firstMatch(in: text, range: NSRange(text.startIndex..., in: text)) != nil
                #expect(accepts(grammar, "\"\(text)\"") == found, "\(text) for \(pattern)")
                compared += 1
            }
        }
        for _ in 0..<60 {
            let low = Int.random(in: -1200...1200, using: &random), high = low + Int.random(in: 0...900, using: &random)
            let unit = Int.random(in: 1...12, using: &random)
            guard ((low...high).contains { $0 % unit == 0 }) else { continue }
            let grammar = try grammar(
                ##"{"type":"integer","minimum":\##(low),"maximum":\##(high),"multipleOf":\##(unit)}"##)
            for number in low - 30...high + 30 {
                #expect(
                    accepts(grammar, "\(number)") == ((low...high).contains(number) && number % unit == 0),
                    "\(number) from \(low) to \(high) by \(unit)")
                compared += 1
            }
        }
        print("schemas: \(compared) texts, 0 differences from other readers")
    }

    /// Random walks through masks come to nothing but what the schema describes, whatever the model would like.
    @Test func randomWalksFulfilTheirSchema() throws {
        let tokens = try #require(TokenBytes(TinyQwen2VL().folder.tokenizer))
        let tokenizer = try TinyQwen2VL().folder.tokenizer
        let schemas = [
            #"{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string","maxLength":6}},"required":["b"]}"#,
            #"{"type":"array","items":{"type":["boolean","null"]},"minItems":1,"maxItems":4}"#,
            #"{"enum":["red","green",{"x":[1,2.5,"\"q\""]}]}"#,
            #"{"type":"object","properties":{"c":{"anyOf":[{"type":"number"},{"const":"none"}]}},"required":["c"]}"#,
            #"{"type":"array","items":{"type":"string","format":"date"},"maxItems":2}"#,
            #"{"type":"string","pattern":"^[a-zé日]{1,4}(-x)?$"}"#, #"{"type":"number","minimum":-2.5,"maximum":17}"#,
            #"{"type":"object","additionalProperties":{"type":"integer","multipleOf":5},"propertyNames":{"pattern":"^k\\d$"},"maxProperties":2}"#,
            #"{"type":"array","items":{"enum":["ab","abc",7,null]},"uniqueItems":true,"minItems":2}"#,
            #"{"type":"string","maxLength":4,"not":{"pattern":"[^ab]"}}"#,
        ]
        let stop = try #require((0..<Int32(tokenizer.vocabularySize)).first { tokenizer.bytes(of: $0) == nil })
        var ended = 0
        for (number, text) in schemas.enumerated() {
            let grammar = try grammar(text), schema = try OrderedJSON(parsing: text)
            for seed in 0..<25 {
                var random = SystemGenerator(state: UInt64(seed * 7 + number + 1))
                var constraint = try GrammarConstraint(schema: schema, tokens), chosen: [Int32] = []
                while chosen.count < 200, !constraint.isFinished {
                    var scores = [Float](repeating: 0, count: tokenizer.vocabularySize)
                    constraint.apply(to: &scores, stopTokens: [stop])
                    let allowed = scores.indices.filter { scores[$0] == 0 }
                    let token = Int32(try #require(allowed.randomElement(using: &random)))
                    if token == stop { break }
                    chosen.append(token)
                    constraint.advance(token)
                }
                let bytes = chosen.flatMap { tokenizer.bytes(of: $0) ?? [] }
                guard chosen.count < 200 else { continue }
                ended += 1
                let answer = String(decoding: bytes, as: UTF8.self)
                #expect(accepts(grammar, answer), "\(answer)")
                #expect(throws: Never.self, "\(answer)") { try OrderedJSON(parsing: answer) }
            }
        }
        #expect(ended > 140)
    }
}

/// A generator of random numbers with a seed.
private struct SystemGenerator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state ^ (state >> 29)
    }
}
