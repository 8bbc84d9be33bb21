internal import Models
internal import Serving
internal import Text

/// Tools in Qwen's format: their descriptions in the system message, calls as `<tool_call>` with JSON inside, what they
/// said as `<tool_response>`. (Qwen-Agent's `nous_fncall_prompt.py`, which Qwen2.5's and Qwen2.5-VL's templates carry.)
enum ToolPrompt {
    static let callStart = "<tool_call>"
    static let callEnd = "</tool_call>"

    /// What the system message ends with when there are tools.
    static func system(_ tools: [OrderedJSON]) -> String {
        """


        # Tools

        You may call one or more functions to assist with the user query.

        You are provided with function signatures within <tools></tools> XML tags:
        <tools>
        \(tools.map(\.text).joined(separator: "\n"))
        </tools>

        For each function call, return a json object with function name and arguments within <tool_call></tool_call> \
        XML tags:
        <tool_call>
        {"name": <function-name>, "arguments": <args-json-object>}
        </tool_call>
        """
    }

    /// A call that an assistant made earlier.
    static func call(_ object: RequestObject) throws(APIError) -> String {
        guard let function = try object.object("function") else { throw object.failure("function", "is required") }
        let name = try function.requiredString("name"), arguments = try function.requiredString("arguments")
        let parsed: OrderedJSON
        do { parsed = try OrderedJSON(parsing: arguments, maximumBytes: 1 << 20, maximumDepth: 64) } catch {
            throw function.failure("arguments", "must be JSON: \(error)")
        }
        let call: OrderedJSON = ["name": .string(name), "arguments": parsed]
        return "\(callStart)\n\(call.text)\n\(callEnd)"
    }

    static func response(_ parts: [EncodedMessage.Part]) -> [EncodedMessage.Part] {
        [.text("<tool_response>\n")] + parts + [.text("\n</tool_response>")]
    }

    /// The conversation with the tools' descriptions in its system message.
    static func adding(_ tools: [OrderedJSON], to messages: [EncodedMessage]) -> [EncodedMessage] {
        if tools.isEmpty { return messages }
        var messages = messages
        let text = system(tools)
        if messages.first?.role == .system {
            messages[0].parts.append(.text(text))
        } else {
            messages.insert(EncodedMessage(.system, [.text("You are a helpful assistant." + text)]), at: 0)
        }
        return messages
    }
}

/// Takes calls of tools out of an answer while it is written.
struct ToolCallReader {
    struct Call: Sendable, Equatable {
        var name: String
        /// JSON.
        var arguments: String
    }

    private var held = ""
    private var isInside = false

    /// The text that is certain to be content, and the calls that are complete.
    mutating func push(_ text: String) -> (content: String, calls: [Call]) {
        held += text
        var content = "", calls: [Call] = []
        while true {
            let mark = isInside ? ToolPrompt.callEnd : ToolPrompt.callStart
            guard let range = held.firstRange(of: mark) else { break }
            let before = String(held[..<range.lowerBound])
            held = String(held[range.upperBound...])
            if isInside {
                if let call = Self.call(before) {
                    calls.append(call)
                } else {
                    // What is no call is what the model said.
                    content += ToolPrompt.callStart + before + ToolPrompt.callEnd
                }
            } else {
                content += before
            }
            isInside.toggle()
        }
        if !isInside {
            // A tail that may become the mark waits.
            let mark = ToolPrompt.callStart
            let tail = (1..<mark.count).reversed().first { held.hasSuffix(mark.prefix($0)) } ?? 0
            content += held.dropLast(tail)
            held = String(held.suffix(tail))
        }
        return (content, calls)
    }

    /// What was held back. A call that was cut is content.
    mutating func finish() -> (content: String, calls: [Call]) {
        defer { held = "" }
        if isInside {
            if let call = Self.call(held) { return ("", [call]) }
            return (ToolPrompt.callStart + held, [])
        }
        return (held, [])
    }

    private static func call(_ text: String) -> Call? {
        let json = try? OrderedJSON(parsing: text, maximumBytes: 1 << 20, maximumDepth: 64)
        guard let json, let name = json["name"]?.string, let arguments = json["arguments"], case .object = arguments
        else { return nil }
        return Call(name: name, arguments: arguments.text)
    }
}
