import ArgumentParser
import Foundation
import Inference
import Media
import Models
import NN
import Terminal

/// A conversation with a model on the command line.
struct ChatSession {
    let engine: ChatEngine
    let maxTokens: Int
    let sampling: SamplingOptions
    private let system: String?
    private var conversation: Conversation
    /// What the next message begins with.
    private var pending: [Part]
    private let output = TerminalOutput.standardOutput
    private let notes = TerminalOutput.standardError

    init(engine: ChatEngine, system: String?, pending: [Part], maxTokens: Int, sampling: SamplingOptions) {
        self.engine = engine
        self.system = system
        self.pending = pending
        self.maxTokens = maxTokens
        self.sampling = sampling
        conversation = Self.start(system)
    }

    private static func start(_ system: String?) -> Conversation { system.map { [Message(.system, $0)] } ?? [] }

    /// Asks, and remembers question and answer; after an error the conversation is as it was, without the message.
    mutating func ask(_ text: String, streams: Bool) throws -> ChatAnswer {
        let before = conversation
        conversation.append(Message(.user, pending + [.text(text)]))
        pending = []
        do {
            let answer = try Interrupt.whileAnswering {
                try engine.answer(conversation, maxTokens: maxTokens, sampling: sampling) { words in
                    if streams { output.write(output.isTerminal ? Self.shown(words) : words) }
                    return !Interrupt.isRequested
                }
            }
            if streams { output.write("\n") }
            conversation.append(Message(.assistant, answer.markedText))
            return answer
        } catch {
            conversation = before
            throw error
        }
    }

    /// Words without what would move the cursor or change colours: a model may write anything.
    private static func shown(_ words: String) -> String {
        String(
            String.UnicodeScalarView(
                words.unicodeScalars.filter {
                    $0 == "\n" || $0 == "\t" || $0.properties.generalCategory != .control
                }))
    }

    /// Reads lines until the end of the input or `/quit`. Mistakes are said and the conversation goes on; when a
    /// program wrote the lines, the end tells it with the exit status.
    mutating func run() throws {
        let isPerson = isatty(0) == 1 && output.isTerminal
        if isPerson { greet() }
        var failed = false
        while true {
            if isPerson { output.write("> ") }
            guard let line = readLine() else {
                if isPerson { output.write("\n") }
                break
            }
            do {
                if try !take(line) { break }
            } catch {
                failed = true
                Failure.say(error)
            }
        }
        if failed, !isPerson { throw ExitCode(Failure.failed) }
    }

    private func greet() {
        let name = engine.folder.url.lastPathComponent
        let count = engine.generator.model.store.parameters.reduce(0) { $0 + $1.count }
        note("\(name), \(Format.count(count)) parameters, on \(engine.device). /help lists commands.")
    }

    private func note(_ text: String) { notes.line(notes.coloured(text, .dim)) }

    /// Does what a line says; false ends the conversation.
    private mutating func take(_ line: String) throws -> Bool {
        guard line.hasPrefix("/") else {
            if line.allSatisfy(\.isWhitespace) { return true }
            let answer = try ask(line, streams: true)
            if notes.isTerminal { note(Self.summary(answer.generation)) }
            return true
        }
        let words = line.split(separator: " ", maxSplits: 1).map(String.init)
        let rest = words.count > 1 ? words[1] : ""
        switch words[0] {
        case "/image":
            guard !rest.isEmpty else { throw ChatLineError.needsFile("/image") }
            let picture = try ChatMedia.picture(Paths.typed(rest))
            let tokens = try engine.processor.imageTokenCount(width: picture.width, height: picture.height)
            pending.append(.image(picture))
            note("\(picture.width)×\(picture.height) pixels, \(tokens) tokens; goes with the next message")
        case "/video":
            guard !rest.isEmpty else { throw ChatLineError.needsFile("/video") }
            let video = try ChatMedia.video(Paths.typed(rest), for: engine.processor)
            pending.append(.video(video))
            note("\(video.frames.count) frames; goes with the next message")
        case "/reset":
            conversation = Self.start(system)
            pending = []
            note("a new conversation")
        case "/help": output.line(Self.help)
        case "/quit", "/exit": return false
        default: throw ChatLineError.unknown(words[0])
        }
        return true
    }

    private static func summary(_ generation: GenerationResult) -> String {
        let pictures = generation.imageTokens > 0 ? " (\(generation.imageTokens) of pictures)" : ""
        var parts = [
            "\(generation.promptTokens) tokens read\(pictures)", "\(generation.tokens.count) written",
            "first after \(Format.duration(generation.secondsToFirstToken))",
        ]
        if let rate = generation.tokensPerSecond { parts.append(Format.rate(rate, unit: "token")) }
        if generation.finishReason == .length { parts.append("cut at the limit") }
        if generation.finishReason == .cancelled { parts.append("ended by you") }
        return parts.joined(separator: ", ")
    }

    private static let help = """
        /image FILE   add a picture to the next message
        /video FILE   add a video to the next message
        /reset        begin a new conversation
        /quit         end (or Ctrl-D)
        Ctrl-C        end an answer; at the prompt, end the program
        A line that begins with a space is sent as it is, even if a / follows.
        """
}

/// A line that is no message and no command.
private enum ChatLineError: Error, CustomStringConvertible {
    case unknown(String)
    case needsFile(String)

    var description: String {
        switch self {
        case .unknown(let command): "there is no command \(command); /help lists them (a leading space sends the line)"
        case .needsFile(let command): "\(command) needs the name of a file"
        }
    }
}
