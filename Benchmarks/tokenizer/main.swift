import Foundation
import Text

// The Swift side of run.sh: encodes a file with a tokenizer folder, several times, and prints the ids' checksum and the
// seconds of each run. `train` writes a tokenizer folder from a text instead.

let arguments = CommandLine.arguments
guard arguments.count >= 4 else {
    print("usage: tokenizer-benchmark encode FOLDER TEXT [RUNS] | tokenizer-benchmark train FOLDER TEXT SIZE")
    exit(2)
}
let folder = arguments[2]
let text = String(decoding: try Data(contentsOf: URL(fileURLWithPath: arguments[3])), as: UTF8.self)
let number = arguments.count > 4 ? Int(arguments[4]) ?? 5 : 5

if arguments[1] == "train" {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { $0 + "\n" }
    let started = ContinuousClock.now
    let trained = try BPETrainer.train(texts: lines.map { String($0) }, vocabularySize: number)
    try trained.write(to: folder)
    print("trained \(trained.count) entries in \(ContinuousClock.now - started)")
} else {
    let loading = ContinuousClock.now
    let tokenizer = try Tokenizer.load(directory: folder)
    let loaded = ContinuousClock.now - loading
    var runs: [String] = []
    var ids: [Int32] = []
    for _ in 0..<number {
        let started = ContinuousClock.now
        ids = try tokenizer.encode(text)
        let spent = (ContinuousClock.now - started).components
        runs.append(String(Double(spent.seconds) + Double(spent.attoseconds) / 1e18))
    }
    let checksum = ids.reduce(UInt64(0)) { ($0 &* 1_000_003 &+ UInt64($1)) % 2_305_843_009_213_693_951 }
    print(
        "{\"runs\": [\(runs.joined(separator: ", "))], \"ids\": \(ids.count), \"checksum\": \(checksum), ",
        terminator: "")
    print("\"load\": \"\(loaded)\"}")
}
