internal import Foundation

extension LogLine {
    /// The lines of a `log.jsonl`, without those of steps that a resumed run did again.
    ///
    /// A last line that a crash cut short and lines of later versions that mean nothing here are left out.
    ///
    /// - Throws: what the system says, where the file cannot be read.
    public static func read(_ path: String) throws -> [LogLine] {
        let data = try Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe)
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        var lines: [LogLine] = []
        for line in data.split(separator: UInt8(ascii: "\n")) {
            guard let line = try? decoder.decode(LogLine.self, from: line) else { continue }
            if line.event == "resume", let step = line.step { lines.removeAll { ($0.step ?? 0) > step } }
            lines.append(line)
        }
        return lines
    }
}
