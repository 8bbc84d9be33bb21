public import Torch

/// What of a vocabulary this rank has rows of, where ranks divide embedding and head.
public struct VocabularyPart {
    public let ids: Range<Int>
    /// The ranks that have all of it together.
    public let group: ProcessGroup

    /// Where in the part ids lie, int64, and which of them do; the place of those that do not is one that exists.
    public func places(of ids: Tensor) throws -> (places: Tensor, areOwn: Tensor) {
        let shifted = try ids - Double(self.ids.lowerBound)
        return (
            try shifted.clamp(0...Double(self.ids.count - 1)).to(.int64),
            try shifted.ge(0).logicalAnd(shifted.lt(Double(self.ids.count)))
        )
    }
}
