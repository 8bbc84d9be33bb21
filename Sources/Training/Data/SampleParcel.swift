internal import Foundation
internal import Models
internal import Torch

/// A prepared sample as bytes, on its way from the rank that prepared it to one that learns from it. Both run the same
/// program on the same kind of machine.
enum SampleParcel {
    private struct Header: Codable {
        struct Item: Codable {
            var isVideo: Bool
            /// Time, height and width of patches; columns, rows and thumbnail of tiles.
            var patches: [Int]?
            var tiles: [Int]?
            var shape: [Int]
            var originalWidth: Int
            var originalHeight: Int
            var patchCount: Int
            var featureCount: Int
            var memoryTags: [[Int32]]
        }

        var number: Int
        var id: String
        var source: String
        var rows: Int
        var items: [Item]
        var nextPosition: Int32
        var promptText: String
        var regions: RegionTargets?
    }

    /// A row as numbers: id, position, whether it is supervised, item, columns.
    private static let rowNumbers = 8

    /// - Parameter sample: which can be used.
    static func data(_ samples: [PreparedSample]) throws -> Data {
        var result = Data()
        for sample in samples {
            guard let sequence = sample.sequence else { continue }
            let items = sequence.items.map { item in
                var header = Header.Item(
                    isVideo: item.kind == .video, shape: item.pixels.shape, originalWidth: item.originalWidth,
                    originalHeight: item.originalHeight, patchCount: item.patchCount, featureCount: item.featureCount,
                    memoryTags: item.memoryTags)
                switch item.layout {
                case .patches(let grid): header.patches = [grid.time, grid.height, grid.width]
                case .tiles(let grid): header.tiles = [grid.columns, grid.rows, grid.hasThumbnail ? 1 : 0]
                }
                return header
            }
            let header = try JSONEncoder().encode(
                Header(
                    number: sample.number, id: sample.id, source: sample.source, rows: sequence.rows.count,
                    items: items,
                    nextPosition: sequence.nextPosition, promptText: sequence.promptText, regions: sample.regions))
            withUnsafeBytes(of: Int64(header.count)) { result.append(contentsOf: $0) }
            result.append(header)
            var numbers: [Int32] = []
            numbers.reserveCapacity(sequence.rows.count * rowNumbers)
            for row in sequence.rows {
                numbers += [
                    row.id, row.position.x, row.position.y, row.position.z, row.isSupervised ? 1 : 0, row.item,
                    row.columns.lowerBound, row.columns.upperBound,
                ]
            }
            numbers.withUnsafeBytes { result.append(contentsOf: $0) }
            for item in sequence.items { result.append(try item.pixels.to(.float32).bytes()) }
        }
        return result
    }

    /// The samples of one parcel.
    static func samples(_ data: Data) throws -> [PreparedSample] {
        var samples: [PreparedSample] = [], rest = data[...]
        func take(_ count: Int) throws -> Data {
            guard count >= 0, rest.count >= count else {
                throw TrainingError.exchange("a sample from another rank was cut short")
            }
            defer { rest = rest.dropFirst(count) }
            return Data(rest.prefix(count))
        }
        while !rest.isEmpty {
            let length = try take(8).withUnsafeBytes { $0.loadUnaligned(as: Int64.self) }
            let header = try JSONDecoder().decode(Header.self, from: take(Int(length)))
            let numbers = try take(header.rows * rowNumbers * 4)
            let rows = numbers.withUnsafeBytes { bytes in
                (0..<header.rows).map { row in
                    func number(_ index: Int) -> Int32 {
                        bytes.loadUnaligned(fromByteOffset: (row * rowNumbers + index) * 4, as: Int32.self)
                    }
                    return TokenRow(
                        id: number(0), position: SIMD3(number(1), number(2), number(3)), isSupervised: number(4) != 0,
                        item: number(5), columns: number(6)..<max(number(6), number(7)))
                }
            }
            let items = try header.items.map { item in
                let layout: VisualLayout
                switch (item.patches, item.tiles) {
                case (let grid?, _) where grid.count == 3:
                    layout = .patches(PatchGrid(time: grid[0], height: grid[1], width: grid[2]))
                case (_, let grid?) where grid.count == 3:
                    layout = .tiles(TileGrid(columns: grid[0], rows: grid[1], hasThumbnail: grid[2] != 0))
                default: throw TrainingError.exchange("a picture from another rank has no layout")
                }
                let bytes = try take(item.shape.reduce(4, *))
                return VisualItem(
                    kind: item.isVideo ? .video : .image, layout: layout,
                    pixels: try bytes.withUnsafeBytes { try Tensor.copying($0, shape: item.shape, dtype: .float32) },
                    originalWidth: item.originalWidth, originalHeight: item.originalHeight,
                    patchCount: item.patchCount, featureCount: item.featureCount, memoryTags: item.memoryTags)
            }
            samples.append(
                PreparedSample(
                    number: header.number, id: header.id, source: header.source,
                    result: .success(
                        ProcessedSequence(
                            rows: rows, items: items, nextPosition: header.nextPosition,
                            promptText: header.promptText)), regions: header.regions))
        }
        return samples
    }
}
