import CMedia

/// Pillow's resampling filters, by their names there.
public enum ResizeFilter: String, Sendable, CaseIterable {
    case nearest, box, bilinear, hamming, bicubic, lanczos

    var native: cm_filter {
        switch self {
        case .nearest: CM_NEAREST
        case .box: CM_BOX
        case .bilinear: CM_BILINEAR
        case .hamming: CM_HAMMING
        case .bicubic: CM_BICUBIC
        case .lanczos: CM_LANCZOS
        }
    }
}

/// A part of a picture in (possibly fractional) pixels, as the `box` of Pillow's `resize`.
public struct ResizeBox: Sendable, Equatable {
    public var left: Float
    public var top: Float
    public var right: Float
    public var bottom: Float

    public init(left: Float, top: Float, right: Float, bottom: Float) {
        self.left = left
        self.top = top
        self.right = right
        self.bottom = bottom
    }
}

/// The implementations of the resizer; all give the same bytes.
enum ResizeKernel: CaseIterable {
    case best, portable, avx2, avx512VNNI

    var native: cm_path {
        switch self {
        case .best: CM_PATH_BEST
        case .portable: CM_PATH_PORTABLE
        case .avx2: CM_PATH_AVX2
        case .avx512VNNI: CM_PATH_AVX512_VNNI
        }
    }

    /// Whether this processor can run it.
    var isAvailable: Bool { cm_path_available(native) != 0 }
}

/// A side longer than this is a mistake or an attack, not a picture.
private let longestSide = 1 << 20

/// Resizes interleaved 8-bit pixels of 1 or 3 channels; see `Image.resized`.
func resizePixels(
    _ pixels: [UInt8], width: Int, height: Int, channels: Int, to newWidth: Int, _ newHeight: Int,
    filter: ResizeFilter, box: ResizeBox?, kernel: ResizeKernel = .best
) throws(MediaError) -> [UInt8] {
    let name = "picture of \(width)×\(height)"
    let (area, overflow) = newWidth.multipliedReportingOverflow(by: newHeight)
    guard newWidth > 0, newHeight > 0, newWidth <= longestSide, newHeight <= longestSide, !overflow,
        area <= 1 << 31, max(width, height) <= longestSide
    else { throw .invalidRequest(name: name, reason: "it cannot be resized to \(newWidth)×\(newHeight)") }
    let box = box ?? ResizeBox(left: 0, top: 0, right: Float(width), bottom: Float(height))
    guard box.left >= 0, box.top >= 0, box.right <= Float(width), box.bottom <= Float(height), box.left < box.right,
        box.top < box.bottom
    else { throw .invalidRequest(name: name, reason: "the box to resize does not lie within it") }
    var failure = cm_failure()
    let edges = [box.left, box.top, box.right, box.bottom]
    let result = [UInt8](unsafeUninitializedCapacity: area * channels) { buffer, count in
        failure = cm_resize(
            pixels, Int64(width), Int64(height), Int32(channels), edges, filter.native, buffer.baseAddress,
            Int64(newWidth), Int64(newHeight), kernel.native)
        count = failure.status == CM_OK ? area * channels : 0
    }
    try failure.check(name: name)
    return result
}

extension Image {
    /// The picture (or the part of it in `box`) at another size, equal to the last bit to `Image.resize` of Pillow
    /// 11.3: a horizontal pass rounded to 8 bits, then a vertical one.
    ///
    /// - Throws: `MediaError.invalidRequest` for a size below 1×1 or a box outside the picture.
    public func resized(
        width newWidth: Int, height newHeight: Int, filter: ResizeFilter = .bicubic, box: ResizeBox? = nil
    ) throws(MediaError) -> Image {
        try resized(width: newWidth, height: newHeight, filter: filter, box: box, kernel: .best)
    }

    func resized(
        width newWidth: Int, height newHeight: Int, filter: ResizeFilter, box: ResizeBox? = nil, kernel: ResizeKernel
    ) throws(MediaError) -> Image {
        // The same size is the same pixels, and of a large picture a second copy is memory that nobody reserved.
        if newWidth == width, newHeight == height, box == nil { return self }
        let result = try resizePixels(
            pixels, width: width, height: height, channels: 3, to: newWidth, newHeight, filter: filter, box: box,
            kernel: kernel)
        return Image(width: newWidth, height: newHeight, pixels: result)
    }

    /// The `width × height` pixels whose top left one is (`x`, `y`).
    ///
    /// - Throws: `MediaError.invalidRequest` where they do not lie within the picture.
    public func cropped(x: Int, y: Int, width newWidth: Int, height newHeight: Int) throws(MediaError) -> Image {
        guard x >= 0, y >= 0, newWidth > 0, newHeight > 0, x < width, y < height, newWidth <= width - x,
            newHeight <= height - y
        else {
            throw .invalidRequest(
                name: "picture of \(width)×\(height)",
                reason: "\(newWidth)×\(newHeight) pixels from (\(x), \(y)) do not lie within it")
        }
        let result = [UInt8](unsafeUninitializedCapacity: newWidth * newHeight * 3) { buffer, count in
            for row in 0..<newHeight {
                let start = ((y + row) * width + x) * 3
                for offset in 0..<newWidth * 3 { buffer[row * newWidth * 3 + offset] = pixels[start + offset] }
            }
            count = newWidth * newHeight * 3
        }
        return Image(width: newWidth, height: newHeight, pixels: result)
    }
}

/// Resizes planes of floats (`[planes, height, width]`, row-major) with antialiasing, as torchvision's
/// `resize(antialias=True)` and torch's `interpolate(antialias=True)` do: no rounding between the passes, no clamp.
///
/// - Parameter filter: `bilinear` or `bicubic`.
/// - Throws: `MediaError.invalidRequest` for other filters, or sizes that the planes do not have.
public func resizePlanes(
    _ planes: [Float], width: Int, height: Int, to newWidth: Int, _ newHeight: Int, filter: ResizeFilter = .bicubic
) throws(MediaError) -> [Float] {
    let name = "planes of \(width)×\(height)"
    guard filter == .bilinear || filter == .bicubic else {
        throw .invalidRequest(name: name, reason: "torch has no antialiased '\(filter)' filter")
    }
    guard (1...longestSide).contains(width), (1...longestSide).contains(height), !planes.isEmpty,
        planes.count.isMultiple(of: width * height), (1...longestSide).contains(newWidth),
        (1...longestSide).contains(newHeight), newWidth * newHeight <= 1 << 31
    else { throw .invalidRequest(name: name, reason: "they cannot be resized to \(newWidth)×\(newHeight)") }
    let count = planes.count / (width * height)
    var failure = cm_failure()
    let result = [Float](unsafeUninitializedCapacity: count * newWidth * newHeight) { buffer, filled in
        planes.withUnsafeBufferPointer { planes in
            for plane in 0..<count where failure.status == CM_OK {
                failure = cm_resize_plane(
                    planes.baseAddress?.advanced(by: plane * width * height), Int64(width), Int64(height),
                    filter.native, buffer.baseAddress?.advanced(by: plane * newWidth * newHeight), Int64(newWidth),
                    Int64(newHeight))
            }
        }
        filled = failure.status == CM_OK ? count * newWidth * newHeight : 0
    }
    try failure.check(name: name)
    return result
}
