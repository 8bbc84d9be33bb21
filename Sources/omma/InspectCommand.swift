import ArgumentParser
import EmbeddedModel
import Evaluation
import Foundation
import Media
import Models
import Terminal

/// `omma inspect`: a picture of what a model sees.
struct InspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Draw what a model sees: tiles or patches as cut and resized, and where their tokens go.",
        discussion: """
            Reads the model's configuration and tokenizer, not its weights. The pictures are read back from the tensor \
            that the vision tower gets, by the mean and deviation that it was trained with: a wrong normalisation shows.
            """)

    @Option(
        help: ArgumentHelp("Folder of a checkpoint; without it the embedded model.", valueName: "dir"),
        completion: .directory) var model: String?
    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("Pictures, in the order of the prompt; - for standard input.", valueName: "file"),
        completion: .file()) var image: [String]
    @Option(help: ArgumentHelp("Where the drawing goes.", valueName: "png"), completion: .file()) var out: String?
    @Option(help: ArgumentHelp("The text behind the pictures.", valueName: "text"))
    var prompt = "Describe the picture."
    @Option(help: "Resize pictures to at least so many pixels.") var minPixels: Int?
    @Option(help: "Resize pictures to at most so many pixels.") var maxPixels: Int?
    @Option(help: "Cut a picture into at most so many tiles.") var maxTiles: Int?
    @Flag(help: "Print one JSON object.") var json = false

    func validate() throws {
        if out == nil, !json { throw ValidationError("--out PNG or --json is needed: else there is nothing to see") }
        if image.count(where: { $0 == "-" }) > 1 { throw ValidationError("standard input holds one picture") }
        for (name, value) in [("min-pixels", minPixels), ("max-pixels", maxPixels), ("max-tiles", maxTiles)] {
            if let value, value < 1 { throw ValidationError("--\(name) is \(value); it must be 1 or more") }
        }
        if let out, !out.lowercased().hasSuffix(".png") { throw ValidationError("--out '\(out)' must end in .png") }
    }

    func run() throws {
        let pictures = try image.map { path in
            (name: URL(filePath: path).lastPathComponent, image: try ChatMedia.picture(path))
        }
        let folder = try ModelFolder(model.map { URL(filePath: Paths.expanded($0)) } ?? EmbeddedModel.folder())
        var processor = try folder.processor.limitingPixels(min: minPixels, max: maxPixels)
        if let maxTiles { processor = try processor.limitingTiles(maxTiles) }
        let inspection = try Inspection(
            folder, processor: processor, pictures: pictures, prompt: prompt, model: folder.url.lastPathComponent)
        if let out { try inspection.page().write(to: Paths.expanded(out)) }
        let output = TerminalOutput.standardOutput
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            output.line(String(decoding: try encoder.encode(InspectionReport(inspection)), as: UTF8.self))
        } else {
            for picture in inspection.pictures {
                output.line(
                    "\(picture.name.printable): \(Format.grouped(picture.original.width)) × "
                        + "\(Format.grouped(picture.original.height)), \(Format.grouped(picture.tokens)) tokens"
                        + (picture.columns > 0 ? ", \(Format.grouped(picture.columns)) columns" : ""))
            }
        }
        for warning in inspection.warnings { TerminalOutput.standardError.warn(warning.printable) }
    }
}
