public import Torch

/// How the values of a parameter are dealt out to ranks, each of which computes with its piece: a part of the rows or
/// columns of a matrix, or an expert that one rank has and others do not.
public struct Partition {
    /// Of the whole parameter.
    public let shape: [Int]
    /// Along which pieces are cut.
    public let dimension: Int
    /// What of the dimension each rank of `group` has.
    public let ranges: [[Range<Int>]]
    /// The ranks that have all pieces together.
    public let group: ProcessGroup
    /// The ranks that have the same piece, and add up its gradients.
    public let copies: ProcessGroup

    public init(
        shape: [Int], dimension: Int, ranges: [[Range<Int>]], group: ProcessGroup, copies: ProcessGroup
    ) {
        precondition(ranges.count == group.size, "a piece for each rank")
        self.shape = shape
        self.dimension = dimension
        self.ranges = ranges
        self.group = group
        self.copies = copies
    }

    /// Equal pieces of each of several stacks that lie one after another along the dimension.
    ///
    /// - Parameter stacks: their lengths, which add up to the dimension's.
    public init(of parameter: Parameter, _ dimension: Int, stacks: [Int]? = nil, over division: TensorDivision) {
        let shape = parameter.shape, stacks = stacks ?? [shape[dimension]], parts = division.group.size
        precondition(stacks.reduce(0, +) == shape[dimension], "stacks that are all of the parameter")
        precondition(stacks.allSatisfy { $0.isMultiple(of: parts) }, "see DivisibleBlock.obstacle")
        let ranges = (0..<parts).map { part in
            var start = 0
            return stacks.map { length in
                defer { start += length }
                return start + part * (length / parts)..<start + (part + 1) * (length / parts)
            }
        }
        self.init(
            shape: shape, dimension: dimension, ranges: ranges, group: division.group, copies: division.copies)
    }

    /// The shape of a rank's piece.
    public func shape(of rank: Int) -> [Int] {
        var result = shape
        result[dimension] = ranges[rank].reduce(0) { $0 + $1.count }
        return result
    }

    /// Whether every block of so many values, counted from the beginning of each row, lies in one piece.
    public func keepsWhole(block: Int) -> Bool {
        guard let width = shape.last, width.isMultiple(of: block) else { return false }
        return dimension != shape.count - 1
            || ranges.joined().allSatisfy { $0.lowerBound.isMultiple(of: block) && $0.upperBound.isMultiple(of: block) }
    }

    /// How blocks of rows are dealt out, of which `keepsWhole` is true.
    public func blocks(of block: Int) -> Partition {
        guard block > 1 else { return self }
        var shape = shape
        shape[shape.count - 1] /= block
        return Partition(
            shape: shape, dimension: dimension,
            ranges: dimension < shape.count - 1
                ? ranges : ranges.map { $0.map { $0.lowerBound / block..<$0.upperBound / block } },
            group: group, copies: copies)
    }

    /// A rank's piece of the whole values, a copy.
    public func piece(of whole: Tensor, rank: Int) throws -> Tensor {
        let parts = try ranges[rank].map { try whole.slice(dimension, $0) }
        guard let first = parts.first else {
            return try Tensor.empty(shape(of: rank), dtype: whole.dtype, device: whole.device)
        }
        return try parts.count == 1 ? first.contiguous().clone() : Tensor.cat(parts, dimension: dimension)
    }

    /// Puts a rank's piece where it belongs in the whole values.
    public func place(_ piece: Tensor, of rank: Int, in whole: Tensor) throws {
        var start = 0
        for range in ranges[rank] {
            try whole.slice(dimension, range).copy(from: piece.slice(dimension, start..<start + range.count))
            start += range.count
        }
    }

    /// The whole values, on all ranks of the group.
    public func gathered(_ piece: Tensor) throws -> Tensor {
        let whole = try Tensor.empty(shape, dtype: piece.dtype, device: piece.device)
        for rank in ranges.indices where !ranges[rank].isEmpty {
            let part =
                rank == group.rank
                ? try piece.contiguous() : try Tensor.empty(shape(of: rank), dtype: piece.dtype, device: piece.device)
            try group.broadcast(part, from: rank, for: "gathering pieces of weights")
            try place(part, of: rank, in: whole)
        }
        return whole
    }
}

/// The ranks that divide matrices among themselves (tensor parallelism, Shoeybi et al. 2019).
public struct TensorDivision {
    /// The ranks that compute one row together.
    public let group: ProcessGroup
    /// The ranks that have the same pieces.
    public let copies: ProcessGroup

    public init(group: ProcessGroup, copies: ProcessGroup) {
        self.group = group
        self.copies = copies
    }
}

/// The ranks that deal experts out among themselves (expert parallelism, Lepikhin et al. 2020).
public struct ExpertDivision {
    /// The ranks that send each other tokens.
    public let group: ProcessGroup
    /// The ranks that have all pieces of all experts together: those of `group`, times those that divide matrices. The
    /// pieces of rank `e` of `group` lie at `e × tensor.size + t`.
    public let pieces: ProcessGroup
    /// The ranks that have the same experts.
    public let copies: ProcessGroup

    public init(group: ProcessGroup, pieces: ProcessGroup, copies: ProcessGroup) {
        self.group = group
        self.pieces = pieces
        self.copies = copies
    }
}

/// A part of a model whose matrices several ranks can divide among themselves, or whose experts they can deal out.
public protocol DivisibleBlock: AnyObject {
    /// Why the block cannot be divided by so many ranks; nil where it can.
    func obstacle(tensor parts: Int) -> String?
    /// The same for experts.
    func obstacle(experts parts: Int) -> String?
    /// Computes with pieces from now on, and says so in `Parameter.partition`; whoever calls this cuts the values.
    func divide(tensor: TensorDivision?, experts: ExpertDivision?) throws
    /// Takes back what `divide` did.
    func unite()
    /// Leaves that stand for what other ranks do, see `ProcessGroup.exchangingRows`.
    var anchors: [Tensor] { get }
}

extension DivisibleBlock {
    public func obstacle(experts parts: Int) -> String? { nil }
    public var anchors: [Tensor] { [] }
}

extension Linear {
    /// Has a part of the output's elements from now on.
    public func divideOutput(stacks: [Int]? = nil, over division: TensorDivision) {
        weight.partition = Partition(of: weight, 0, stacks: stacks, over: division)
        if let bias { bias.partition = Partition(of: bias, 0, stacks: stacks, over: division) }
        weight.adapter?.divideOutput(stacks: stacks, over: division)
    }

    /// Reads a part of the input's elements from now on; see `callAsFunction(_:summedOver:)`.
    public func divideInput(over division: TensorDivision) {
        weight.partition = Partition(of: weight, 1, over: division)
        weight.adapter?.divideInput(over: division)
    }

    /// Knows nothing of other ranks any more.
    public func unite() {
        weight.partition = nil
        bias?.partition = nil
        weight.adapter?.unite()
    }

    /// `[…, part of in]` gives `[…, out]`: the sum over the ranks that divided the input, and the bias once.
    public func callAsFunction(_ x: Tensor, summedOver group: ProcessGroup?) throws -> Tensor {
        guard let group else { return try self(x) }
        let sum = try group.summing(adaptedProduct(x))
        return try bias.map { try sum + $0.tensor } ?? sum
    }
}
