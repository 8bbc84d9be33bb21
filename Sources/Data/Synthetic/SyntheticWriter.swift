import Dispatch
public import Foundation
import Media
import Synchronization

extension SyntheticGenerator {
    /// What was written, as stored in `manifest.json`.
    public struct Manifest: Sendable, Codable, Equatable {
        /// The version of the generator: samples of another one may differ for the same options.
        public var version = SyntheticGenerator.version
        public var options: SyntheticOptions
        public var start: Int
        public var count: Int
        public var turns: Int
        /// Samples by task.
        public var tasks: [String: Int]
        /// Turns by task.
        public var turnsByTask: [String: Int]
        /// Samples by language.
        public var languages: [String: Int]
        /// Pictures with text, by font family.
        public var fonts: [String: Int]
    }

    /// Changes whenever the same options give other samples.
    public static let version = 1

    /// One line of `data.jsonl`: the `messages` format that Qwen2-VL fine-tuning reads, and the truth beside it.
    struct Line: Codable {
        struct Message: Codable {
            let role: String
            let content: String
        }
        let messages: [Message]
        let images: [String]
        let task: SyntheticTask
        let language: SyntheticLanguage
        let truth: [SyntheticTurn]
        let objects: [SyntheticObject]
        let font: String?

        init(_ sample: SyntheticSample, image: String) {
            messages = sample.turns.enumerated().flatMap { number, turn in
                [
                    Message(role: "user", content: (number == 0 ? "<image>" : "") + turn.question),
                    Message(role: "assistant", content: turn.answer),
                ]
            }
            images = [image]
            task = sample.task
            language = sample.metadata.language
            truth = sample.turns
            objects = sample.metadata.objects
            font = sample.metadata.font
        }
    }

    /// Writes `data.jsonl`, `images/*.png` and `manifest.json` into a new directory, using all cores.
    ///
    /// Pictures are lossless (JPEG artefacts are in the pixels already), so what is read equals what `sample(at:)` gives.
    /// Everything is written beside the directory first and moved there at the end: a directory that exists is whole.
    /// - Parameters:
    ///   - start: the index of the first sample.
    ///   - progress: called from time to time, from any thread, with the number of finished samples.
    /// - Throws: `SyntheticError.exists` when the directory is already there; what drawing or the file system throw.
    @discardableResult
    public func write(
        to directory: URL, count: Int, from start: Int = 0, progress: (@Sendable (Int) -> Void)? = nil
    ) throws -> Manifest {
        guard count > 0 else { throw SyntheticError.count(count) }
        let files = FileManager.default
        guard !files.fileExists(atPath: directory.path) else { throw SyntheticError.exists(path: directory.path) }
        let staging = directory.deletingLastPathComponent()
            .appendingPathComponent(
                ".\(directory.lastPathComponent).\(ProcessInfo.processInfo.processIdentifier).partial")
        try files.createDirectory(at: staging.appendingPathComponent("images"), withIntermediateDirectories: true)
        do {
            let manifest = try fill(staging, range: start..<start + count, progress: progress)
            try files.moveItem(at: staging, to: directory)
            return manifest
        } catch {
            try? files.removeItem(at: staging)
            throw error
        }
    }

    private struct Work {
        var next: Int
        var done = 0
        var lines: [Int: Data] = [:]
        var manifest: Manifest
        var failure: (any Error)?
    }

    private func fill(_ directory: URL, range: Range<Int>, progress: (@Sendable (Int) -> Void)?) throws -> Manifest {
        let empty = Manifest(
            options: options, start: range.lowerBound, count: range.count, turns: 0, tasks: [:], turnsByTask: [:],
            languages: [:], fonts: [:])
        let work = Mutex(Work(next: range.lowerBound, manifest: empty))
        let workers = min(range.count, ProcessInfo.processInfo.activeProcessorCount)
        DispatchQueue.concurrentPerform(iterations: workers) { _ in
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            while true {
                let index = work.withLock { work -> Int? in
                    guard work.failure == nil, work.next < range.upperBound else { return nil }
                    work.next += 1
                    return work.next - 1
                }
                guard let index else { return }
                do {
                    let sample = try sample(at: index)
                    let name = "images/\(Self.padded(index)).png"
                    try Data(Canvas(sample.image).png()).write(to: directory.appendingPathComponent(name))
                    let line = try encoder.encode(Line(sample, image: name))
                    let done = work.withLock { work -> Int in
                        work.lines[index] = line
                        work.manifest.add(sample)
                        work.done += 1
                        return work.done
                    }
                    if done % 100 == 0 || done == range.count { progress?(done) }
                } catch {
                    work.withLock { $0.failure = $0.failure ?? error }
                }
            }
        }
        let result = work.withLock { work in
            let result = (lines: work.lines, manifest: work.manifest, failure: work.failure)
            work.lines = [:]
            return result
        }
        if let failure = result.failure { throw failure }
        var data = Data()
        for index in range {
            if let line = result.lines[index] { data.append(line) }
            data.append(UInt8(ascii: "\n"))
        }
        try data.write(to: directory.appendingPathComponent("data.jsonl"))
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        try encoder.encode(result.manifest).write(to: directory.appendingPathComponent("manifest.json"))
        return result.manifest
    }

    private static func padded(_ index: Int) -> String {
        let digits = String(index)
        return String(repeating: "0", count: max(0, 6 - digits.count)) + digits
    }
}

extension SyntheticGenerator.Manifest {
    fileprivate mutating func add(_ sample: SyntheticSample) {
        turns += sample.turns.count
        tasks[sample.task.rawValue, default: 0] += 1
        for turn in sample.turns { turnsByTask[turn.task.rawValue, default: 0] += 1 }
        languages[sample.metadata.language.rawValue, default: 0] += 1
        if let font = sample.metadata.font { fonts[font, default: 0] += 1 }
    }
}
