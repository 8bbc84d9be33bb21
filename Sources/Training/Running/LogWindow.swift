/// What the steps since the last line of the log came to.
struct LogWindow {
    private(set) var tokens = 0
    private(set) var pictures = 0
    private(set) var seconds = 0.0
    private(set) var waited = 0.0
    private var loss = 0.0
    private var supervised = 0
    private var operations: Double?
    private var room: Int?
    private var sources: [String: SourceShare] = [:]

    mutating func add(_ record: StepRecord) {
        let report = record.report
        if report.isApplied {
            loss += report.loss * Double(report.supervisedTokens)
            supervised += report.supervisedTokens
        }
        tokens += report.tokens
        pictures += report.pictures
        seconds += record.seconds
        waited += record.waited
        if let more = record.operations { operations = (operations ?? 0) + more }
        if let more = record.room { room = (room ?? 0) + more }
        for (source, share) in record.sources { sources[source, default: SourceShare()] += share }
    }

    /// Over supervised tokens of the steps that were applied.
    var meanLoss: Double { loss / Double(max(1, supervised)) }
    var tokensPerSecond: Double { Double(tokens) / max(seconds, 1e-9) }
    var picturesPerSecond: Double { Double(pictures) / max(seconds, 1e-9) }
    /// The share of rows' tokens that hold something.
    var filled: Double? { room.map { Double(tokens) / Double(max(1, $0)) } }

    /// Model FLOP utilisation, as a share of `rate` operations a second.
    func utilisation(of rate: Double) -> Double? {
        guard rate > 0, seconds > 0 else { return nil }
        return operations.map { $0 / seconds / rate }
    }

    /// The line for the log; `record` is the last step.
    func line(_ record: StepRecord, utilisation: Double?, memory: Int?, deviceMemory: Int?) -> LogLine {
        LogLine(
            event: "step", step: record.step, stage: record.stage, loss: meanLoss,
            gradientNorm: record.report.gradientNorm,
            gradientNorms: record.gradientNorms.isEmpty ? nil : record.gradientNorms, learningRate: record.rate,
            regionLosses: record.report.regionLosses.isEmpty ? nil : record.report.regionLosses, tokens: tokens,
            supervisedTokens: supervised, pictures: pictures, sources: sources.isEmpty ? nil : sources,
            tokensPerSecond: tokensPerSecond, picturesPerSecond: picturesPerSecond, utilisation: utilisation,
            filled: filled, residentBytes: memory, deviceBytes: deviceMemory, waitedSeconds: waited,
            imbalance: record.report.imbalance,
            trainedSeconds: record.trainedSeconds, skippedSteps: record.skippedSteps,
            skippedSamples: record.skippedSamples)
    }
}
