import Goldens
import Models

/// Rows of sizes with what each published version of `smart_resize` makes of them, or that it refuses them.
struct SmartResizeVerifier: FolderVerifier {
    static let kind = "smart resize"

    static func matches(_ contents: GoldenContents) -> Bool {
        contents.json["rows"].array?.contains { row in
            SmartResize.Version.allCases.contains { !row[$0.rawValue].isNull }
        } ?? false
    }

    static func verify(_ contents: GoldenContents, _ report: inout VerifyReport) throws {
        for (index, row) in (contents.json["rows"].array ?? []).enumerated() {
            guard let height = row["h"].int, let width = row["w"].int else {
                report.add("rows[\(index)]", holds: false, "the golden has no h and w")
                continue
            }
            for version in SmartResize.Version.allCases where !row[version.rawValue].isNull {
                let standard = SmartResize()
                let rule = SmartResize(
                    factor: row["factor"].int ?? standard.factor,
                    minPixels: row["min_pixels"].int ?? standard.minPixels,
                    maxPixels: row["max_pixels"].int ?? standard.maxPixels, version: version)
                // The golden names the reference's error, which Omma words in its own way.
                let expected = row[version.rawValue].ints
                let found = try? rule.size(height: height, width: width)
                report.add(
                    "rows[\(index)] \(height)×\(width).\(version.rawValue)",
                    holds: found.map { [$0.height, $0.width] } == expected,
                    "is \(found.map { "\($0)" } ?? "an error"), the golden \(expected.map { "\($0)" } ?? "an error")")
            }
        }
    }
}
