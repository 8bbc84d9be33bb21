internal import CTorch

/// Where a tensor lives.
public enum Device: Sendable, Hashable, CustomStringConvertible {
    case cpu
    /// An NVIDIA GPU by number.
    case cuda(Int)
    /// The GPU of a Mac.
    case mps
    /// Shapes without memory: a model built here costs nothing and its sizes can be read.
    case meta

    public var description: String {
        switch self {
        case .cpu: "cpu"
        case .cuda(let index): "cuda:\(index)"
        case .mps: "mps"
        case .meta: "meta"
        }
    }

    /// Reads `cpu`, `cuda`, `cuda:1`, `mps`, `meta`.
    public init?(name: String) {
        switch name {
        case "cpu": self = .cpu
        case "cuda": self = .cuda(0)
        case "mps": self = .mps
        case "meta": self = .meta
        default:
            guard name.hasPrefix("cuda:"), let index = Int(name.dropFirst(5)), (0..<128).contains(index) else {
                return nil
            }
            self = .cuda(index)
        }
    }

    var raw: ct_device {
        switch self {
        case .cpu: ct_device(kind: Int32(CT_CPU), index: -1)
        case .cuda(let index): ct_device(kind: Int32(CT_CUDA), index: Int32(index))
        case .mps: ct_device(kind: Int32(CT_MPS), index: 0)
        case .meta: ct_device(kind: Int32(CT_META), index: -1)
        }
    }

    init(_ raw: ct_device) {
        switch raw.kind {
        case Int32(CT_CUDA): self = .cuda(max(0, Int(raw.index)))
        case Int32(CT_MPS): self = .mps
        case Int32(CT_META): self = .meta
        default: self = .cpu
        }
    }

    /// The device of one of several processes of a machine: each takes a GPU of its own, from this one on.
    ///
    /// - Parameter number: of the process on its machine, from 0.
    public func ofProcess(_ number: Int) -> Device {
        if case .cuda(let first) = self { .cuda(first + number) } else { self }
    }

    /// The devices this process can use now. CUDA counts once `Engine.loadCUDA()` has found it.
    public var isAvailable: Bool { ct_has_device(raw.kind) }
}
