import Data
import Media

/// A picture, a question about it, and what the model made of it.
struct DemoResult {
    let task: SyntheticTask
    let language: SyntheticLanguage
    let width: Int
    let height: Int
    /// The picture's PNG file.
    let png: [UInt8]
    /// Where it was written.
    let path: String
    let question: String
    /// With the marks around places.
    let answer: String
    let truth: String
    let isRight: Bool
    let seconds: Double

    /// An answer in words alone: `red circle (12,30),(450,700)`.
    static func plain(_ text: String) -> String {
        var result = ""
        var rest = Substring(text)
        while let start = rest.firstRange(of: "<|"), let end = rest[start.upperBound...].firstRange(of: "|>") {
            result += rest[..<start.lowerBound]
            // The name ends here, and the place begins.
            if rest[start.upperBound..<end.lowerBound] == "object_ref_end" { result += " " }
            rest = rest[end.upperBound...]
        }
        return result + rest
    }

    /// `plain` on one line.
    static func line(_ text: String) -> String {
        plain(text).split(whereSeparator: \.isNewline).joined(separator: "; ")
    }
}
