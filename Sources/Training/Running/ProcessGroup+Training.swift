public import Foundation
internal import Torch

extension ProcessGroup {
    /// For what one rank does while the others wait: writing a checkpoint, or an evaluation that is dealt out unevenly.
    /// A rank that dies meanwhile is noticed at once all the same.
    static var patience: Duration { .seconds(3600) }

    /// Why a run ends before its last step.
    struct Stop {
        var signal: String?
    }

    /// Whether any rank was asked to stop: all must do so after the same step.
    func agreedStop(_ isAsked: Bool) throws -> Stop? {
        let own = isAsked ? max(1, StopSignal.number) : 0
        let all = try gathered([Double(own)], for: "agreeing to go on")
        let signal = Int(all.joined().max() ?? 0)
        return signal == 0 ? nil : Stop(signal: StopSignal.name(of: signal))
    }

    /// A folder that rank 0 makes, and all see.
    func folderFromMain(_ name: String, _ body: () throws -> URL) throws -> URL {
        let path = try fromMain(name, timeout: Self.patience) { Data(try body().path.utf8) }
        let folder = URL(fileURLWithPath: String(decoding: path, as: UTF8.self))
        guard isMain || FileManager.default.fileExists(atPath: folder.path) else {
            throw CheckpointError.unseen(folder: folder.path, rank: rank)
        }
        return folder
    }
}

extension CheckpointStore {
    /// Where the run starts, which rank 0 finds out and tells the others.
    func begin(
        _ loaded: Recipe.Loaded, resume: Bool, _ observer: any TrainingObserver, group: ProcessGroup
    ) throws -> Beginning {
        guard group.size > 1 else { return try begin(loaded, resume: resume, observer) }
        struct Message: Codable {
            var folder: String
            var files: String
            var state: TrainingState
            var isResumed: Bool
        }
        let data = try group.fromMain("looking for checkpoints", timeout: ProcessGroup.patience) {
            let start = try begin(loaded, resume: resume, observer)
            return try JSONEncoder().encode(
                Message(
                    folder: start.folder.path, files: start.files.folder.path, state: start.state,
                    isResumed: start.resumedFrom != nil))
        }
        let message = try JSONDecoder().decode(Message.self, from: data)
        let folder = URL(fileURLWithPath: message.folder)
        guard FileManager.default.fileExists(atPath: folder.path) else {
            throw CheckpointError.unseen(folder: folder.path, rank: group.rank)
        }
        return Beginning(
            folder: folder, files: ModelFiles(folder: URL(fileURLWithPath: message.files)), state: message.state,
            resumedFrom: message.isResumed ? folder : nil)
    }
}

/// Says nothing: of several ranks one speaks.
public final class SilentObserver: TrainingObserver {
    public init() {}

    public func begin(_ run: RunFacts) {}
    public func begin(_ stage: StageSummary) {}
    public func step(_ record: StepRecord) {}
    public func evaluation(_ record: EvaluationRecord) {}
    public func answers(_ answers: [SampleAnswer], step: Int) {}
    public func checkpoint(_ folder: URL, step: Int) {}
    public func skipped(_ samples: [SkippedSample], step: Int) {}
    public func note(_ line: String) {}
}
