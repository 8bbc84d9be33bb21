import ArgumentParser
import Foundation
import Models
import Terminal
import Training

/// `omma plan RECIPE|PRESET`: what a run will take.
struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "Say what a training run will take: memory, time, cost.",
        discussion: """
            Takes a recipe, or the name of a published size (see `omma info --help`), and counts parameters, operations \
            and bytes without building weights or reading data. Where the recipe's source published a speed, the plan \
            is compared with it. Prices are rough; name your own with --price.
            """)

    @Argument(help: "A recipe, or the name of a published size.", completion: .file(extensions: ["yaml", "yml"]))
    var recipe: String
    @Option(help: "Devices to train on.") var gpus = 8
    @Option(help: "Their kind: \(Accelerator.all.map(\.name).joined(separator: ", ")).") var gpu = "h100"
    @Option(help: "Machines that they stand in; 8 devices each unless said otherwise.") var nodes: Int?
    @Option(help: "The share of the device's peak that is reached.") var utilisation = 0.4
    @Option(
        help: """
            What devices hold shares of: \(ShardingKind.allCases.map(\.rawValue).joined(separator: ", ")) (ZeRO's stages 0 to \
            3); what the recipe says, or the cheapest that fits.
            """) var sharding: String?
    @Option(help: "Recompute blocks in the backward pass: on or off; what fits unless said otherwise.")
    var checkpointing: String?
    @Option(help: "Devices that share each layer.") var tensorParallel = 1
    @Option(help: "Stages of a pipeline of layers.") var pipelineParallel = 1
    @Option(help: "Rows that a device computes at a time.") var rows = 1
    @Option(help: "Dollars for an hour of one device.") var price: Double?
    @Option(
        name: .customLong("set"), parsing: .singleValue,
        help: ArgumentHelp("Replace a value of the recipe, as `omma train` does.", valueName: "key=value"))
    var replacements: [String] = []
    @Option(help: "A published size: tokens of a row.") var tokens = 4096
    @Option(help: "A published size: patches of a row.") var patches: Int?
    @Option(help: "A published size: rows of a step.") var sequences = 256
    @Option(help: "A published size: steps.") var steps = 1000
    @Option(help: "A published size: what learns, as in a recipe, with commas between.") var train = "all"
    @Flag(help: "Print one JSON object.") var json = false

    func validate() throws {
        guard Accelerator.named(gpu) != nil else {
            throw ValidationError("--gpu is one of \(Accelerator.all.map(\.name).joined(separator: ", "))")
        }
        guard 1...1_000_000 ~= gpus else { throw ValidationError("--gpus is a number from 1 to 1000000") }
        guard nodes.map({ 1...gpus ~= $0 && gpus.isMultiple(of: $0) }) ?? true else {
            throw ValidationError("--nodes must divide --gpus")
        }
        guard utilisation > 0, utilisation <= 1 else { throw ValidationError("--utilisation is above 0 and at most 1") }
        guard sharding.map({ ShardingKind(rawValue: $0) != nil }) ?? true else {
            let known = ShardingKind.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError("--sharding is one of \(known)")
        }
        guard [nil, "on", "off"].contains(checkpointing) else { throw ValidationError("--checkpointing is on or off") }
        guard tensorParallel > 0, pipelineParallel > 0, gpus.isMultiple(of: tensorParallel * pipelineParallel) else {
            throw ValidationError("--tensor-parallel times --pipeline-parallel must divide --gpus")
        }
        guard rows > 0, tokens > 0, sequences > 0, steps > 0, patches ?? 0 >= 0 else {
            throw ValidationError("--rows, --tokens, --sequences and --steps must be positive")
        }
        guard price.map({ $0 >= 0 && $0.isFinite }) ?? true else {
            throw ValidationError("--price must not be negative")
        }
    }

    func run() throws {
        guard var accelerator = Accelerator.named(gpu) else { return }
        if let price { accelerator.price = price }
        var options = RunPlan.Options(accelerator, devices: gpus, nodes: nodes)
        options.utilisation = utilisation
        options.sharding = sharding.flatMap(ShardingKind.init)
        options.isCheckpointed = checkpointing.map { $0 == "on" }
        options.tensorParallel = tensorParallel
        options.pipelineParallel = pipelineParallel
        options.rows = rows
        let plan = try RunPlan(loadedRecipe(), options)
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            TerminalOutput.standardOutput.line(String(decoding: try encoder.encode(plan), as: UTF8.self))
        } else {
            PlanText(plan).write(to: .standardOutput)
        }
    }

    private func loadedRecipe() throws -> Recipe {
        let path = Paths.expanded(recipe)
        if path.contains("/") || FileManager.default.fileExists(atPath: path) {
            return try Recipe.load(URL(filePath: path), overrides: replacements).recipe
        }
        let preset = try Preset.named(recipe)
        let parts = train.split(separator: ",").map { "\"\($0)\"" }.joined(separator: ", ")
        let text = """
            name: \(preset.name)
            model: {preset: \(preset.name)}
            precision: bf16
            stages:
              - name: train
                train: [\(parts)]
                steps: \(steps)
                learning_rate: 1.0e-5
                batch: {sequences: \(sequences), length: \(tokens), packed: true}
                \(patches.map { "expect: {patches: \($0)}" } ?? "")
                data: [{role: any}]
            """
        return try Recipe.parse(text, file: preset.name, folder: URL(filePath: "/"), overrides: replacements).recipe
    }
}
