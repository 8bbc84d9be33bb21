import ArgumentParser
import Foundation
import Inference
import Media
import Models
import Terminal

/// `omma chat`: one answer, or a conversation.
struct ChatCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "chat", abstract: "Ask a model about pictures and videos.",
        discussion: """
            With --prompt it answers once. Without it, it reads messages line by line: /image FILE adds a picture to \
            the next message, /help lists the other commands, Ctrl-C ends an answer.
            """)

    @OptionGroup var model: ModelOptions
    @Option(
        help: ArgumentHelp("A picture, or - for standard input; may be repeated.", valueName: "file"),
        completion: .file()) var image: [String] = []
    @Option(
        help: ArgumentHelp("A video; frames are taken at 2 a second; may be repeated.", valueName: "file"),
        completion: .file()) var video: [String] = []
    @Option(help: ArgumentHelp("The question; without it, a conversation.", valueName: "text")) var prompt: String?
    @Option(help: ArgumentHelp("What the model is told before everything else.", valueName: "text"))
    var system: String?
    @Option(help: ArgumentHelp("The longest answer, in tokens.", valueName: "n")) var maxTokens = 512
    @Option(
        help: ArgumentHelp("0 takes the likeliest token; without it, what the checkpoint recommends.", valueName: "t"))
    var temperature: Double?
    @Option(help: ArgumentHelp("Choose among the likeliest tokens that together have this share.", valueName: "p"))
    var topP: Double?
    @Option(help: ArgumentHelp("Choose among so many of the likeliest tokens; 0 among all.", valueName: "k"))
    var topK: Int?
    @Option(help: ArgumentHelp("Equal seeds give equal answers.", valueName: "n")) var seed: UInt64 = 0
    @Option(
        help: ArgumentHelp(
            "Write the last picture with the places that the answer names drawn on it; needs --prompt.",
            valueName: "out.png"), completion: .file()) var draw: String?
    @Flag(help: "Print one JSON object; needs --prompt.") var json = false

    func validate() throws {
        if draw != nil, prompt == nil || image.isEmpty { throw ValidationError("--draw needs --prompt and --image") }
        if json, prompt == nil { throw ValidationError("--json needs --prompt") }
        let fromInput = image.count { $0 == "-" }
        if fromInput > 1 {
            throw ValidationError("standard input holds one picture; --image - stands \(fromInput) times")
        }
        if fromInput == 1, prompt == nil { throw ValidationError("--image - needs --prompt") }
        if maxTokens < 1 { throw ValidationError("--max-tokens is \(maxTokens); it must be 1 or more") }
        do {
            try sampling(GenerationDefaults()).validate()
        } catch { throw ValidationError("--\(error)") }
    }

    func run() throws {
        // Cheap mistakes first: a wrong name of a picture should not wait for the weights.
        let pictures = try image.map { Part.image(try ChatMedia.picture($0)) }
        let engine = try model.load()
        let videos = try video.map { Part.video(try ChatMedia.video($0, for: engine.processor)) }
        let sampling = sampling(engine.folder.generation)
        warnWithoutChoice(sampling)
        var session = ChatSession(
            engine: engine, system: system, pending: pictures + videos, maxTokens: maxTokens, sampling: sampling)
        guard let prompt else {
            try session.run()
            return
        }
        let answer = try session.ask(prompt, streams: !json)
        let regions = GroundedRegion.all(in: answer.markedText)
        let seen = pictures.last.flatMap { if case .image(let image) = $0 { image } else { nil } }
        if let draw, let seen { try seen.drawing(regions).write(to: Paths.expanded(draw)) }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            let output = try encoder.encode(ChatOutput(answer, regions, in: seen))
            TerminalOutput.standardOutput.line(String(decoding: output, as: UTF8.self))
        }
        if answer.generation.finishReason == .cancelled { throw ExitCode(Failure.failed) }
    }

    /// What the checkpoint recommends, where the command line says nothing else.
    private func sampling(_ defaults: GenerationDefaults) -> SamplingOptions {
        var options = SamplingOptions(defaults, seed: seed)
        if let temperature { options.temperature = temperature }
        if let topP { options.topP = topP }
        if let topK { options.topK = topK }
        return options
    }

    /// Some checkpoints recommend a choice among one; a temperature alone then changes nothing.
    private func warnWithoutChoice(_ options: SamplingOptions) {
        guard let temperature, temperature > 0, options.topK == 1 || options.topP < 0.01 else { return }
        TerminalOutput.standardError.warn(
            "top-k \(options.topK ?? 0) and top-p \(options.topP) leave nothing to choose, so --temperature changes "
                + "nothing; the checkpoint recommends them, --top-k 0 --top-p 1 lifts them")
    }
}
