import Goldens
import Models

/// InternVL's tiling: columns, rows and tiles for sizes of pictures under several limits, and the grids to choose from.
struct TilingVerifier: FolderVerifier {
    static let kind = "InternVL tiling"

    static func matches(_ contents: GoldenContents) -> Bool { !contents.json["candidate_order"].isNull }

    static func verify(_ contents: GoldenContents, _ report: inout VerifyReport) throws {
        verifyCandidates(contents.json["candidate_order"].object ?? [:], &report)
        for (index, row) in (contents.json["rows"].array ?? []).enumerated() {
            for (limit, expected) in (row.object ?? [:]).sorted(by: { $0.key < $1.key }) where limit.hasPrefix("max") {
                guard let most = Int(limit.dropFirst(3)) else { continue }
                verify("rows[\(index)].\(limit)", row, 448, 1...most, expected.ints, &report)
            }
        }
        for (index, row) in (contents.json["other_options"].array ?? []).enumerated() {
            guard let size = row["image_size"].int, let least = row["min_num"].int, let most = row["max_num"].int,
                least <= most
            else {
                report.add("other_options[\(index)]", holds: false, "the golden lacks image_size, min_num or max_num")
                continue
            }
            verify("other_options[\(index)]", row, size, least...most, row["grid"].ints, &report)
        }
    }

    private static func policy(_ size: Int, _ tiles: ClosedRange<Int>) -> DynamicTiling {
        DynamicTiling(TileShape(size: size, patchSize: 14, features: 1, normalization: .imageNet), tiles: tiles)
    }

    private static func verify(
        _ name: String, _ row: GoldenJSON, _ size: Int, _ tiles: ClosedRange<Int>, _ expected: [Int]?,
        _ report: inout VerifyReport
    ) {
        guard let width = row["w"].int, let height = row["h"].int, let expected else {
            return report.add(name, holds: false, "the golden lacks w, h or the grid")
        }
        do {
            let grid = try policy(size, tiles).grid(width: width, height: height)
            let found = [grid.columns, grid.rows, grid.count].prefix(expected.count)
            report.add(
                "\(name) \(width)×\(height)", holds: found.elementsEqual(expected),
                "is \(Array(found)), the golden \(expected)")
        } catch {
            report.add("\(name) \(width)×\(height)", holds: false, "\(error)")
        }
    }

    /// The same grids by area; their order within one area is a Python set's and decides nothing.
    private static func verifyCandidates(_ golden: [String: GoldenJSON], _ report: inout VerifyReport) {
        for (limit, list) in golden.sorted(by: { $0.key < $1.key }) {
            guard let most = Int(limit), let expected = list.array?.compactMap(\.ints) else { continue }
            let found = policy(448, 1...most).grids.map { [$0.columns, $0.rows] }
            func areas(_ grids: [[Int]]) -> [Int] { grids.map { $0.reduce(1, *) } }
            report.add(
                "candidate_order.\(limit)", holds: Set(found) == Set(expected) && areas(found) == areas(expected),
                "is \(found), the golden \(expected)")
        }
    }
}
