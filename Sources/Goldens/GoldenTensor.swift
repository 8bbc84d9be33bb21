public import Safetensors

/// What a golden file says about one tensor.
public struct GoldenTensor: Sendable, Hashable {
    /// How near a value must come.
    public enum Rule: Sendable, Hashable {
        /// The same value.
        case exact
        /// `|value - golden| <= absolute + relative * |golden|`.
        case close(absolute: Double, relative: Double)

        /// The largest difference allowed from `golden`.
        func allowance(at golden: Double) -> Double {
            switch self {
            case .exact: 0
            case .close(let absolute, let relative): absolute + relative * abs(golden)
            }
        }
    }

    /// The dimensions, outermost first.
    public var shape: [Int]
    /// The element type.
    public var dtype: StoredDType
    /// How near a value must come.
    public var rule: Rule
    /// Where only a sample is stored: every how manieth element of the flattened tensor, from element 0.
    public var sampleStep: Int?
    /// Of the little-endian bytes of the whole tensor, in hexadecimal digits.
    public var sha256: String?
    /// Of the whole tensor: the sum of the elements.
    public var sum: Double?
    /// Of the whole tensor: the root of the sum of squares.
    public var l2: Double?
    /// Of the whole tensor: the largest magnitude.
    public var absoluteMaximum: Double?
    /// What it is, in the words of whoever made it.
    public var note: String

    /// The number of elements.
    public var elementCount: Int { shape.reduce(1, *) }

    init(_ json: GoldenJSON, name: String, file: String) throws {
        func refuse(_ what: String) -> GoldenError { .init(file: file, tensor: name, fault: what) }
        guard let shape = json["shape"].ints, shape.allSatisfy({ $0 >= 0 }) else { throw refuse("no valid shape") }
        guard let dtype = Self.dtypes[json["dtype"].string ?? ""] else {
            throw refuse("unknown dtype '\(json["dtype"].string ?? "")'")
        }
        guard dtype.byteCount(of: shape) != nil else { throw refuse("the shape \(shape) overflows") }
        switch json["compare"].string {
        case "exact": rule = .exact
        case "allclose":
            guard let absolute = json["atol"].double, let relative = json["rtol"].double else {
                throw refuse("allclose without atol and rtol")
            }
            rule = .close(absolute: absolute, relative: relative)
        default: throw refuse("unknown comparison '\(json["compare"].string ?? "")'")
        }
        if json["sampled"].bool == true {
            guard let step = json["sample_step"].int, step > 0 else { throw refuse("sampled without sample_step") }
            sampleStep = step
        }
        self.shape = shape
        self.dtype = dtype
        sha256 = json["sha256"].string
        sum = json["sum"].double
        l2 = json["l2"].double
        absoluteMaximum = json["absmax"].double
        note = json["desc"].string ?? ""
    }

    private static let dtypes: [String: StoredDType] = [
        "bool": .bool, "uint8": .u8, "int8": .i8, "int16": .i16, "int32": .i32, "int64": .i64, "float16": .f16,
        "bfloat16": .bf16, "float32": .f32, "float64": .f64,
    ]
}

/// A golden file that cannot be read, or has not what was asked for.
public struct GoldenError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The file.
    public var file: String
    /// The tensor, where the fault is one tensor's.
    public var tensor: String?
    /// What is wrong.
    public var fault: String

    public init(file: String, tensor: String? = nil, fault: String) {
        self.file = file
        self.tensor = tensor
        self.fault = fault
    }

    /// One line: file, tensor, fault, remedy.
    public var description: String {
        "\(file): \(tensor.map { "'\($0)': " } ?? "")\(fault); check the name, or make the golden files again"
    }
}
