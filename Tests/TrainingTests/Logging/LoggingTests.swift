import Foundation
import Safetensors
import Synchronization
import TestSupport
import Testing

@testable import Training

/// The records of an event file, checked with a checksum of the test's own (bit by bit).
private func records(_ path: String) throws -> [[UInt8]] {
    func checksum(_ data: ArraySlice<UInt8>) -> UInt32 {
        var state = UInt32.max
        for byte in data {
            state ^= UInt32(byte)
            for _ in 0..<8 { state = state & 1 == 1 ? state >> 1 ^ 0x82F6_3B78 : state >> 1 }
        }
        let value = ~state
        return ((value >> 15) | (value << 17)) &+ 0xA282_EAD8
    }
    func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) } }
    var rest = [UInt8](try Data(contentsOf: URL(filePath: path)))[...]
    var result: [[UInt8]] = []
    while !rest.isEmpty {
        try #require(rest.count >= 16)
        let header = rest.prefix(8)
        let length = Int(number(header))
        #expect(number(rest.dropFirst(8).prefix(4)) == UInt64(checksum(header)))
        let data = rest.dropFirst(12).prefix(length)
        #expect(number(rest.dropFirst(12 + length).prefix(4)) == UInt64(checksum(data)))
        result.append(Array(data))
        rest = rest.dropFirst(16 + length)
    }
    return result
}

private func contains(_ bytes: [UInt8], _ text: String) -> Bool {
    Data(bytes).range(of: Data(text.utf8)) != nil
}

/// Collects warnings.
private final class Warnings: Sendable {
    private let lines = Mutex<[String]>([])
    func add(_ line: String) { lines.withLock { $0.append(line) } }
    var all: [String] { lines.withLock { $0 } }
}

@Suite struct TensorBoardWriterTests {
    @Test func recordsAreFramedAndHoldWhatWasNoted() throws {
        let folder = try TemporaryFolder()
        let writer = try TensorBoardWriter(directory: folder.path("run/a"), purgeStep: 3, warn: { _ in }) { 1.5 }
        writer.scalar("train/loss", 2.5, step: 300)
        writer.scalars([("a", 1), ("b", .nan)], step: -1)
        writer.text("sample", "Wörter", step: 1)
        writer.image("picture", png: [0x89, 0x50], width: 4, height: 2, step: 1)
        writer.close()
        writer.scalar("late", 1, step: 1)
        let events = try records(writer.path)
        #expect(events.count == 6)
        let time: [UInt8] = [0x09, 0, 0, 0, 0, 0, 0, 0xF8, 0x3F]
        #expect(events[0] == time + [0x1A, 13] + Array("brain.Event:2".utf8))
        #expect(events[1] == time + [0x10, 3, 0x3A, 2, 8, 1])
        let loss: [UInt8] = [0x0A, 10] + Array("train/loss".utf8) + [0x15, 0, 0, 0x20, 0x40]
        #expect(events[2] == time + [0x10, 0xAC, 0x02, 0x2A, 19, 0x0A, 17] + loss)
        #expect(events[3].starts(with: time + [0x10] + [UInt8](repeating: 0xFF, count: 9) + [1]))
        #expect(contains(events[4], "Wörter"))
        #expect(events[5].suffix(4) == [0x22, 2, 0x89, 0x50])
        #expect(writer.lostEvents == 0)
    }

    @Test func twoWritersOfOneSecondHaveFilesOfTheirOwn() throws {
        let folder = try TemporaryFolder()
        let first = try TensorBoardWriter(directory: folder.path)
        let second = try TensorBoardWriter(directory: folder.path)
        #expect(first.path != second.path && folder.names.count == 2)
        #expect(folder.names.allSatisfy { $0.contains("tfevents") })
    }
}

@Suite struct JSONLinesWriterTests {
    @Test func everyLineIsThereAtOnce() throws {
        let folder = try TemporaryFolder()
        let writer = try JSONLinesWriter(path: folder.path("metrics.jsonl"))
        try writer.append(["step": 1.0, "loss": .nan])
        #expect(try String(contentsOfFile: writer.path, encoding: .utf8) == "{\"loss\":\"nan\",\"step\":1}\n")
        let again = try JSONLinesWriter(path: writer.path)
        try again.append(["text": "a\nb/c"])
        try writer.append([1])
        let lines = try String(contentsOfFile: writer.path, encoding: .utf8).split(separator: "\n")
        #expect(lines == ["{\"loss\":\"nan\",\"step\":1}", "{\"text\":\"a\\nb/c\"}", "[1]"])
    }

    @Test(arguments: [("{\"a\":1}\n{\"b\":", "{\"a\":1}\n"), ("{\"b", ""), ("", ""), ("{}\n", "{}\n")])
    func aLineCutShortByACrashIsDroppedAndSaid(before: String, after: String) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("x.jsonl", before.utf8)
        let warnings = Warnings()
        try JSONLinesWriter(path: path, warn: warnings.add).append([2])
        #expect(try String(contentsOfFile: path, encoding: .utf8) == after + "[2]\n")
        #expect(warnings.all.count == (before == after ? 0 : 1))
    }

    @Test func aFullDiskIsSaidOnceAndTheWorkGoesOn() throws {
        let folder = try TemporaryFolder()
        let warnings = Warnings()
        let writer = try JSONLinesWriter(path: folder.path("x.jsonl"), warn: warnings.add)
        try writer.append([0])
        try FileFaults.$inject.withValue({ operation, _ in operation == .write ? ENOSPC : nil }) {
            for index in 1...5 { try writer.append([index]) }
        }
        #expect(writer.lostLines == 5 && warnings.all.count == 1 && warnings.all[0].contains("free some space"))
        try writer.append([6])
        #expect(warnings.all.count == 2 && warnings.all[1].contains("5 records were lost"))
        #expect(try String(contentsOfFile: writer.path, encoding: .utf8) == "[0]\n[6]\n")
    }

    #if os(Linux)
        @Test func theDeviceThatIsAlwaysFullIsSurvived() throws {
            let warnings = Warnings()
            let writer = try JSONLinesWriter(path: "/dev/full", warn: warnings.add)
            for index in 0..<3 { try writer.append([index]) }
            #expect(writer.lostLines == 3 && warnings.all.count == 1)
        }
    #endif

    @Test func linesOfManyThreadsStayWhole() async throws {
        let folder = try TemporaryFolder()
        let writer = try JSONLinesWriter(path: folder.path("x.jsonl"))
        await withTaskGroup { group in
            for thread in 0..<4 {
                group.addTask { for index in 0..<100 { try? writer.append([thread, index]) } }
            }
        }
        let lines = try String(contentsOfFile: writer.path, encoding: .utf8).split(separator: "\n")
        #expect(Set(lines).count == 400)
    }
}
