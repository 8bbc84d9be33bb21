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

    @Test func schemasThatCannotBeFollowedAreErrors() throws {
        for schema in [
            ##"{"type":"string","pattern":"a+"}"##, ##"{"type":"number","minimum":3}"##, ##"{"not":{}}"##, "3", "false",
            ##"{"type":"x"}"##, ##"{"$ref":"#"}"##, ##"{"$ref":"http://x"}"##, ##"{"$ref":"#/$defs/x"}"##,
            ##"{"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]}"##, ##"{"enum":[]}"##,
            ##"{"type":"array","minItems":3,"maxItems":1}"##, ##"{"anyOf":[{"$ref":"#"}]}"##,
            ##"{"type":"object","required":["x"]}"##, ##"{"oneOf":[{"type":"string"}]}"##, ##"{"type":[]}"##,
            ##"{"type":"array","uniqueItems":true}"##, ##"{"type":"object","patternProperties":{}}"##,
        ] { #expect(throws: SchemaError.self, "\(schema)") { try self.grammar(schema) } }
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
        #expect(ended > 60)
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
