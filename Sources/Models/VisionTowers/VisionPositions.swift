internal import NN
internal import Torch

/// The vectors that tell patches their places, in any of the schemes.
final class VisionPositions {
    private let scheme: VisionTransformerConfiguration.Positions
    private let tables: [Parameter]
    private let hiddenSize: Int
    private let hasClassToken: Bool

    init(_ configuration: VisionTransformerConfiguration, _ scope: ParameterScope) throws {
        scheme = configuration.positions
        hiddenSize = configuration.hiddenSize
        hasClassToken = configuration.hasClassToken
        let keys = configuration.keys, start = Initialization.normal(0.02)
        switch scheme {
        case .table(let side):
            let ones = [Int](repeating: 1, count: keys.positionsPrefix)
            tables = [
                try scope.parameter(
                    keys.positions, ones + [side * side + (hasClassToken ? 1 : 0), hiddenSize], start)
            ]
        case .factorized(let rows, let columns, _):
            let width = configuration.hiddenSize
            tables = try zip(keys.factorizedPositions, [rows, columns]).map {
                try scope.parameter($0, [$1, width], start)
            }
        case .sinusoidal: tables = []
        }
    }

    /// The class token's own position, `[1, hidden]`; nil where it has none.
    func classToken() throws -> Tensor? {
        guard case .table = scheme, hasClassToken else { return nil }
        return try tables[0].tensor.view([-1, hiddenSize]).slice(0, 0..<1)
    }

    /// `[patches, hidden]`, in the order of the batch.
    func callAsFunction(_ batch: PatchBatch) throws -> Tensor {
        switch scheme {
        case .table(let side): try interpolated(batch, side: side)
        case .factorized(let rows, let columns, let isFractional):
            try factorized(batch, rows: rows, columns: columns, isFractional: isFractional)
        case .sinusoidal: try sinusoidal(batch)
        }
    }

    private func interpolated(_ batch: PatchBatch, side: Int) throws -> Tensor {
        let first = hasClassToken ? 1 : 0
        let table = try tables[0].tensor.view([-1, hiddenSize]).slice(0, first..<first + side * side)
        var known: [PatchGrid: Tensor] = [:]
        let parts = try batch.grids.enumerated().map { index, grid in
            let spatial = PatchGrid(time: 1, height: grid.height, width: grid.width)
            let positions =
                try known[spatial] ?? table.resizedGrid(side: side, height: grid.height, width: grid.width)
            known[spatial] = positions
            let all = grid.time == 1 ? positions : try positions.tile(grid.time, 1)
            return try batch.kept.map { try all.indexSelect(0, Tensor($0[index]).to(all.device)) } ?? all
        }
        return parts.count == 1 ? parts[0] : try Tensor.cat(parts)
    }

    /// A row's vector plus a column's. A fractional place `index / side` reads between two rows of its table (NaViT,
    /// appendix C.1).
    private func factorized(_ batch: PatchBatch, rows: Int, columns: Int, isFractional: Bool) throws -> Tensor {
        let places = batch.places, device = tables[0].tensor.device
        if let grid = batch.grids.first(where: { $0.height > rows || $0.width > columns }), !isFractional {
            throw ProcessingError.unsupported(
                "a picture of \(grid.height)×\(grid.width) patches has no positions: the tower's tables end at "
                    + "\(rows)×\(columns); resize it, or use fractional positions")
        }
        func vectors(_ table: Tensor, _ index: [Int], _ sides: [Int]) throws -> Tensor {
            guard isFractional else { return try table.embedding(Tensor(index).to(device)) }
            let last = table.size(0) - 1
            let exact = zip(index, sides).map { Float($0) / Float($1) * Float(last) }
            let low = exact.map { Int($0) }, high = low.map { min($0 + 1, last) }
            let share = try Tensor(zip(exact, low).map { $0 - Float($1) }, shape: [index.count, 1])
                .to(table.dtype).to(device)
            let below = try table.embedding(Tensor(low).to(device))
            return try below + (table.embedding(Tensor(high).to(device)) - below) * share
        }
        let byRow = try vectors(tables[0].tensor, places.map(\.row), places.map(\.grid.height))
        return try byRow + vectors(tables[1].tensor, places.map(\.column), places.map(\.grid.width))
    }

    private func sinusoidal(_ batch: PatchBatch) throws -> Tensor {
        let values = batch.places.flatMap { place in
            sineCosine(column: Float(place.column), row: Float(place.row), size: hiddenSize)
        }
        return try Tensor(values, shape: [batch.patches.size(0), hiddenSize]).to(batch.patches.device)
    }
}

extension Tensor {
    /// A table of vectors for a square grid, `[side², width]`, for a grid of another size: bicubic in float32, as the
    /// references have it.
    func resizedGrid(side: Int, height: Int, width: Int) throws -> Tensor {
        if side == height, side == width { return self }
        let size = self.size(1)
        return try to(.float32).view([1, side, side, size]).permute(0, 3, 1, 2)
            .bicubicResize(height: height, width: width).permute(0, 2, 3, 1).reshape([height * width, size]).to(dtype)
    }
}
