import Models
import Terminal
import Training

/// A plan in tables.
struct PlanText {
    private let plan: RunPlan

    init(_ plan: RunPlan) { self.plan = plan }

    func write(to output: TerminalOutput) {
        let count = Format.grouped(plan.parameters)
        output.line(
            "\(output.coloured(plan.recipe.printable, .bold))  (\(plan.model.printable), \(count) parameters)\n")
        output.line(parts.text() + "\n")
        let device = plan.accelerator
        let peak = Format.decimal(device.peak / 1e12, 0)
        output.line(
            "\(plan.devices) × \(device.name) in \(plan.nodes) \(plan.nodes == 1 ? "machine" : "machines"), at "
                + "\(Format.percent(plan.utilisation, 0)) of \(peak) TFLOP/s\n")
        output.line(time.text() + "\n")
        output.line(memory.text() + "\n")
        for stage in plan.stages { output.line(row(stage)) }
        for stage in plan.stages { notes(stage).forEach(output.line) }
        output.line(
            "in all \(Format.decimal(plan.days, 1)) days, \(Format.grouped(Int(plan.deviceHours))) device hours, "
                + "$\(Format.grouped(Int(plan.cost))) at $\(Format.decimal(device.price)) an hour")
    }

    private var parts: Table {
        var table = Table([.init("part"), .init("parameters", .right)])
        for part in plan.parts { table.add(part.name.rawValue, Format.grouped(part.parameters)) }
        return table
    }

    private var time: Table {
        var table = Table([
            .init("stage"), .init("learns"), .init("rate", .right), .init("steps", .right), .init("tokens", .right),
            .init("FLOP", .right), .init("a step", .right), .init("tokens/s", .right), .init("days", .right),
            .init("cost", .right),
        ])
        for stage in plan.stages {
            table.add(
                stage.name, "\(Format.count(stage.learning)) (\(stage.trained.joined(separator: ", ")))",
                scientific(stage.learningRate), Format.grouped(stage.steps), Format.count(Int(stage.tokens)),
                scientific(stage.allOperations), Format.duration(stage.secondsPerStep),
                Format.count(Int(stage.tokensPerSecond)), Format.decimal(stage.days, 2),
                "$" + Format.grouped(Int(stage.deviceHours * plan.accelerator.price)))
        }
        return table
    }

    private var memory: Table {
        var table = Table([
            .init("memory of a device"), .init("weights", .right), .init("gradients", .right),
            .init("optimiser", .right),
            .init("activations", .right), .init("temporary", .right), .init("all", .right), .init("how"),
        ])
        for stage in plan.stages {
            let memory = stage.memory
            func bytes(_ value: Double) -> String { Format.bytes(Int(value)) }
            table.add(
                stage.name, bytes(memory.weights), bytes(memory.gradients), bytes(memory.optimizer),
                bytes(memory.activations), bytes(memory.temporary + memory.runtime), bytes(memory.total), how(stage))
        }
        return table
    }

    private func how(_ stage: StagePlan) -> String {
        let sharding = stage.sharding
        var words = [sharding.kind == .none ? "nothing sharded" : "sharding \(sharding.kind.rawValue)"]
        if sharding.tensorParallel > 1 { words.append("tensor parallel \(sharding.tensorParallel)") }
        if sharding.pipelineParallel > 1 { words.append("pipeline \(sharding.pipelineParallel)") }
        if sharding.isCheckpointed { words.append("blocks recomputed") }
        if stage.memory.host > 0 {
            let what = stage.memory.areBlocksAway ? "blocks and optimiser" : "optimiser"
            words.append("\(what) offloaded, \(Format.bytes(Int(stage.memory.host))) of the CPU's memory a device")
        }
        if stage.fits { return words.joined(separator: ", ") }
        let advice = stage.neededTensorParallel.map { "; --tensor-parallel \($0) would" } ?? ""
        return "does not fit \(Format.bytes(plan.accelerator.memory))\(advice)"
    }

    private func row(_ stage: StagePlan) -> String {
        let row = stage.row
        func number(_ value: Double) -> String { Format.grouped(Int(value.rounded())) }
        var text = "\(stage.name): \(Format.grouped(stage.rowsPerStep)) rows a step, each "
        if row.tokens > 0 { text += "\(number(row.tokens)) tokens (\(number(row.supervised)) supervised), " }
        text += "\(Format.decimal(row.samples, row.samples < 10 ? 1 : 0)) samples, \(number(row.patches)) patches"
        if row.columns > 0 { text += ", \(number(row.columns)) columns" }
        return text + (stage.isAssumed ? "; assumed, the recipe does not say" : "")
    }

    private func notes(_ stage: StagePlan) -> [String] {
        var lines: [String] = []
        let copies = stage.sharding.dataParallel * stage.sharding.rows
        if copies > stage.rowsPerStep {
            lines.append(
                "\(stage.name): \(copies) rows at a time, but a step has \(stage.rowsPerStep); devices will idle")
        }
        if let published = stage.published {
            lines.append(
                "\(stage.name), published (\(published.source)): \(number(published.published)) \(published.unit) on "
                    + "\(published.devices) × \(published.device); the plan at \(Format.percent(plan.utilisation, 0)): "
                    + "\(number(published.planned)); published is \(Format.percent(published.impliedUtilisation)) of peak"
            )
        }
        return lines
    }

    private func number(_ value: Double) -> String {
        value < 100 ? Format.decimal(value, 1) : Format.grouped(Int(value.rounded()))
    }

    private func scientific(_ value: Double) -> String {
        guard value > 0, value.isFinite else { return "0" }
        var mantissa = value, exponent = 0
        while mantissa >= 9.995 { (mantissa, exponent) = (mantissa / 10, exponent + 1) }
        while mantissa < 0.9995 { (mantissa, exponent) = (mantissa * 10, exponent - 1) }
        return "\(Format.decimal(mantissa))e\(exponent)"
    }
}
