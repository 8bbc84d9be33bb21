import Testing

@testable import Server

@Suite struct ToolCallTests {
    private static let call = #"{"name": "f", "arguments": {"a": [1, "</x>"]}}"#

    /// However an answer is cut into pieces, calls and words come out the same.
    @Test(arguments: [
        ("Just words < and <tool", "Just words < and <tool", 0),
        ("Look: <tool_call>\n\(call)\n</tool_call> done", "Look:  done", 1),
        ("<tool_call>\(call)</tool_call><tool_call>\(call)</tool_call>", "", 2),
        ("<tool_call>no json</tool_call>", "<tool_call>no json</tool_call>", 0),
        ("a<tool_call>{\"name\":", "a<tool_call>{\"name\":", 0), ("<tool_call>\(call)", "", 1),
    ])
    func callsAreTakenOut(_ text: String, _ expected: String, _ count: Int) {
        for size in [1, 2, 3, 7, 1000] {
            var reader = ToolCallReader(), content = "", calls: [ToolCallReader.Call] = []
            var rest = Substring(text)
            while !rest.isEmpty {
                let (more, found) = reader.push(String(rest.prefix(size)))
                content += more
                calls += found
                rest = rest.dropFirst(size)
            }
            let (more, found) = reader.finish()
            #expect(content + more == expected, "pieces of \(size)")
            #expect((calls + found).count == count)
            #expect((calls + found).allSatisfy { $0.name == "f" && $0.arguments == #"{"a":[1,"</x>"]}"# })
        }
    }
}
