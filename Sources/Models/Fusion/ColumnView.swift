public import Torch

/// Which columns (keys and values beside the sequence) each token sees, without a mask over all of them: tokens that see
/// the same columns are a group, and a token that sees none is in no group.
public struct ColumnView: Sendable {
    /// Tokens of all groups, one group after another; nil where they are all tokens in order.
    let rows: Tensor?
    /// Columns of all groups, one group after another; nil where they are all columns in order.
    let columns: Tensor?
    /// Tokens of each group.
    let queries: Segments
    /// Columns of each group.
    let keys: Segments
    /// Tokens, seeing or not.
    let tokenCount: Int

    /// Whether no token sees anything.
    public var isEmpty: Bool { queries.total == 0 }

    public struct Group: Sendable, Hashable {
        public var rows: [Int]
        public var columns: [Int]

        public init(rows: [Int], columns: [Int]) {
            self.rows = rows
            self.columns = columns
        }
    }

    /// - Parameters:
    ///   - groups: of tokens and the columns that they all see; those without either are left out.
    ///   - device: where the tokens are.
    public init(_ groups: [Group], tokenCount: Int, columnCount: Int, device: Device) throws {
        let groups = groups.filter { !$0.rows.isEmpty && !$0.columns.isEmpty }
        self.tokenCount = tokenCount
        queries = Segments(lengths: groups.map(\.rows.count))
        keys = Segments(lengths: groups.map(\.columns.count))
        func index(_ values: [Int], of count: Int) throws -> Tensor? {
            values.elementsEqual(0..<count) ? nil : try Tensor(values).to(device)
        }
        rows = try index(groups.flatMap(\.rows), of: tokenCount)
        columns = try index(groups.flatMap(\.columns), of: columnCount)
    }

    /// - Parameters:
    ///   - ranges: for each token the columns of its own sequence that it sees, which may go beyond those there are.
    ///   - counts: columns of each sequence.
    init(_ ranges: [Range<Int32>], segments: Segments, counts: [Int], device: Device) throws {
        var groups: [Group] = []
        var base = 0
        for sequence in 0..<segments.count {
            var last: Range<Int>?
            for row in segments.range(sequence) {
                let seen = Range(uncheckedBounds: (Int(ranges[row].lowerBound), Int(ranges[row].upperBound)))
                    .clamped(to: 0..<counts[sequence])
                if seen.isEmpty {
                    last = nil
                } else if seen == last {
                    groups[groups.count - 1].rows.append(row)
                } else {
                    groups.append(Group(rows: [row], columns: seen.map { base + $0 }))
                    last = seen
                }
            }
            base += counts[sequence]
        }
        try self.init(groups, tokenCount: ranges.count, columnCount: base, device: device)
    }

    /// The seeing tokens of `[tokens, …]`.
    func seeing(_ x: Tensor) throws -> Tensor { try rows.map { try x.indexSelect(0, $0) } ?? x }

    /// The columns of `[columns, …]`, group by group.
    func seen(_ x: Tensor) throws -> Tensor { try columns.map { try x.indexSelect(0, $0) } ?? x }

    /// The opposite of `seeing`: exactly 0 for tokens that see nothing.
    func spread(_ x: Tensor) throws -> Tensor {
        guard let rows else { return x }
        let empty = try Tensor.zeros([tokenCount] + x.shape.dropFirst(), dtype: x.dtype, device: x.device)
        return try empty.indexCopy(0, rows, x)
    }
}
