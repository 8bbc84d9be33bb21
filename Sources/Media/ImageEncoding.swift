import CMedia

extension Image {
    /// The picture as a PNG file; lossless. `level` is zlib's: 1 is fastest, 9 smallest.
    public func pngData(level: Int = 6) throws(MediaError) -> [UInt8] {
        try encoded { cm_encode_png($0, $1, $2, Int32(min(max(level, 0), 9)), $3, $4) }
    }

    /// The picture as a JPEG file, `quality` 1...100; from 90 up the colours keep their full resolution.
    public func jpegData(quality: Int = 90) throws(MediaError) -> [UInt8] {
        try encoded { cm_encode_jpeg($0, $1, $2, Int32(min(max(quality, 1), 100)), $3, $4) }
    }

    /// Writes the picture to `path` as JPEG where the name ends in `.jpg` or `.jpeg`, as PNG otherwise. The file
    /// appears whole or not at all.
    public func write(to path: String, quality: Int = 90) throws(MediaError) {
        let lowercased = path.lowercased()
        let isJPEG = lowercased.hasSuffix(".jpg") || lowercased.hasSuffix(".jpeg")
        let bytes = try isJPEG ? jpegData(quality: quality) : pngData()
        try cm_file_write(path, bytes, bytes.count).check(name: path)
    }

    private typealias Encoder = (
        UnsafePointer<UInt8>?, Int64, Int64, @escaping cm_write, UnsafeMutableRawPointer?
    ) -> cm_failure

    private func encoded(_ encode: Encoder) throws(MediaError) -> [UInt8] {
        var bytes: [UInt8] = []
        let failure = withUnsafeMutablePointer(to: &bytes) { sink in
            encode(
                pixels, Int64(width), Int64(height),
                { context, piece, count in
                    guard let context, let piece else { return 0 }
                    context.assumingMemoryBound(to: [UInt8].self).pointee.append(
                        contentsOf: UnsafeBufferPointer(start: piece, count: count))
                    return 1
                }, UnsafeMutableRawPointer(sink))
        }
        try failure.check(name: "picture of \(width)×\(height)")
        return bytes
    }
}
