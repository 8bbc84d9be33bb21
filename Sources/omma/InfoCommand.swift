import ArgumentParser
import EmbeddedModel
import Foundation
import Models
import Terminal

/// `omma info`: what a checkpoint holds and needs.
struct InfoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "info", abstract: "Show what a checkpoint holds: parts, memory, tokenizer, limits.",
        discussion: """
            Reads headers only; a checkpoint of any size is quick. Published sizes need no checkpoint: name one of \
            \(Preset.all.map(\.name).joined(separator: ", ")).
            """)

    @Argument(
        help: ArgumentHelp(
            "Folder of a checkpoint, or the name of a published size; without it the embedded model.",
            valueName: "dir-or-name"),
        completion: .directory) var model: String?
    @Flag(help: "Print one JSON object.") var json = false

    func run() throws {
        let summary = try summary()
        let output = TerminalOutput.standardOutput
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            output.line(String(decoding: try encoder.encode(summary), as: UTF8.self))
            return
        }
        let name = summary.folder ?? summary.preset ?? ""
        let origin = summary.origin.map { ", \($0)" } ?? ""
        output.line("\(output.coloured(name.printable, .bold))  (\(summary.modelType.printable)\(origin))\n")
        output.line(parts(summary).text() + "\n")
        for (name, value) in facts(summary) { output.line("\(name.padded(to: 12))  \(value)") }
        for problem in summary.problems { TerminalOutput.standardError.warn(problem) }
    }

    private func summary() throws -> ModelSummary {
        guard let model else { return try ModelSummary(folder: EmbeddedModel.folder()) }
        let path = Paths.expanded(model)
        // A path that leads nowhere is no wrong name of a preset.
        if path.contains("/") || FileManager.default.fileExists(atPath: path) {
            return try ModelSummary(folder: URL(filePath: path))
        }
        return try ModelSummary(Preset.named(model))
    }

    private func parts(_ summary: ModelSummary) -> Table {
        var table = Table([.init("part"), .init("parameters", .right), .init("size", .right), .init("what")])
        for part in summary.parts {
            table.add(
                part.name.rawValue, Format.grouped(part.parameters), Format.bytes(part.bytes), part.description ?? "")
        }
        table.add("all", Format.grouped(summary.total), Format.bytes(summary.bytes), "")
        return table
    }

    private func facts(_ summary: ModelSummary) -> [(String, String)] {
        let limits = summary.limits
        var facts: [(String, String)] = []
        if summary.preset == nil {
            let files = summary.files == 1 ? "1 file" : "\(summary.files) files"
            facts.append(("weights", summary.files == 0 ? "none" : "\(summary.dtype), \(files)"))
        }
        let weights = Format.bytes(summary.bytes) + " of weights"
        let type = summary.preset == nil ? "" : " in \(summary.dtype)"
        let cache = limits.context.map { context in
            "; \(Format.bytes(summary.cacheBytesPerToken)) a token of cache, "
                + "\(Format.bytes(summary.cacheBytesPerToken * context)) for a full context"
        }
        facts.append(("memory", weights + type + (cache ?? "")))
        if let tokenizer = summary.tokenizer {
            facts.append(
                (
                    "tokenizer",
                    "\(tokenizer.kind), \(Format.grouped(tokenizer.size)) entries, \(tokenizer.specialTokens.count) special"
                ))
            facts.append(("special", tokenizer.specialTokens.joined(separator: " ").printable))
            facts.append(("stops at", tokenizer.stopTokens.joined(separator: " ").printable))
        }
        if let context = limits.context {
            if summary.preset == nil { facts.append(("template", summary.hasChatTemplate ? "yes" : "none")) }
            facts.append(("context", "\(Format.grouped(context)) tokens"))
        }
        if let least = limits.minPixels, let most = limits.maxPixels {
            facts.append(("pictures", "\(Format.grouped(least)) to \(Format.grouped(most)) pixels"))
        }
        if !limits.pictureTokens.isEmpty {
            let sizes = limits.pictureTokens.map { "\($0.width)×\($0.height): \(Format.grouped($0.tokens))" }
            facts.append(("tokens", sizes.joined(separator: ", ")))
        }
        if let frames = limits.maxVideoFrames {
            let rate = limits.videoFramesPerSecond.map { "up to \(frames) frames, \(Format.decimal($0, 0)) a second" }
            facts.append(("videos", rate ?? "\(frames) frames, evenly spread"))
        }
        return facts
    }
}
