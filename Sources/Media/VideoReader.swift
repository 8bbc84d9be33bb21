import CMedia

/// How big a video may be.
public struct VideoLimits: Sendable, Equatable {
    /// Pixels of one frame.
    public var maxPixels: Int
    /// Frames of the file, decoded or not.
    public var maxFrames: Int
    /// Bytes of the frames that one call may return.
    public var maxDecodedBytes: Int

    public init(maxPixels: Int = 36_000_000, maxFrames: Int = 1_000_000, maxDecodedBytes: Int = 4 << 30) {
        self.maxPixels = maxPixels
        self.maxFrames = maxFrames
        self.maxDecodedBytes = maxDecodedBytes
    }
}

/// A local video file, read frame by frame through FFmpeg. Use it from one task at a time.
///
/// Frames are numbered in the order they are shown. Colours follow the matrix that the file declares, BT.601 where it
/// declares none.
public final class VideoReader {
    /// The path, as errors name it.
    public let name: String
    /// Pixels of the frames that this reader gives, after rotation where the policy applies it.
    public let width: Int
    public let height: Int
    /// Frames in the file, counted rather than believed.
    public let frameCount: Int
    /// Average frames a second; 0 where the file does not tell.
    public let framesPerSecond: Double
    /// Seconds; 0 where the file does not tell.
    public let duration: Double
    /// How far a player turns the frames clockwise: 0, 90, 180 or 270 degrees.
    public let rotation: Int

    private let limits: VideoLimits
    private let stored: (width: Int, height: Int)
    private let appliesRotation: Bool
    private let video: OpaquePointer

    /// Opens a video and counts its frames.
    ///
    /// - Parameters:
    ///   - policy: `upright` turns the frames as a player would; `asPillow` leaves them as stored, as PyAV does.
    ///   - threads: decoding threads; 0 lets FFmpeg choose.
    public init(
        path: String, policy: DecodePolicy = .upright, limits: VideoLimits = VideoLimits(), threads: Int = 0
    ) throws(MediaError) {
        // The system's own words for a missing file, and never a wait on a pipe.
        var file = cm_file()
        try cm_file_open(path, &file).check(name: path)
        cm_file_close(&file)
        var info = cm_video_info()
        var opened: OpaquePointer?
        try cm_video_open(
            path, Int64(limits.maxPixels), Int64(limits.maxFrames), Int32(clamping: threads), &opened, &info
        ).check(name: path)
        guard let opened else { throw .outOfMemory(name: path) }
        video = opened
        name = path
        self.limits = limits
        stored = (Int(info.width), Int(info.height))
        rotation = Int(info.rotation)
        appliesRotation = policy == .upright && info.rotation != 0
        let turned = appliesRotation && info.rotation != 180
        width = turned ? stored.height : stored.width
        height = turned ? stored.width : stored.height
        frameCount = Int(info.frames)
        framesPerSecond = info.rate
        duration = info.duration
    }

    deinit { cm_video_close(video) }

    /// Frame `index`, 0 being the first.
    public func frame(at index: Int) throws(MediaError) -> Image {
        guard (0..<frameCount).contains(index) else {
            throw .invalidRequest(name: name, reason: "it has \(frameCount) frames, so none of index \(index)")
        }
        let size = stored.width * stored.height * 3
        var failure = cm_failure()
        var pixels = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            failure = cm_video_frame(video, Int64(index), buffer.baseAddress)
            count = failure.status == CM_OK ? size : 0
        }
        try failure.check(name: name)
        guard appliesRotation else { return Image(width: width, height: height, pixels: pixels) }
        // Clockwise quarters as EXIF numbers them.
        let orientation: Int32 = rotation == 90 ? 6 : rotation == 180 ? 3 : 8
        pixels = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            cm_orient(pixels, Int64(stored.width), Int64(stored.height), orientation, buffer.baseAddress)
            count = size
        }
        return Image(width: width, height: height, pixels: pixels)
    }

    /// Frames by index, in the order asked for; ascending order is fastest.
    public func frames(atIndices indices: [Int]) throws(MediaError) -> [Image] {
        guard indices.count <= limits.maxDecodedBytes / (width * height * 3) else {
            throw .invalidRequest(
                name: name,
                reason: "\(indices.count) frames of \(width)×\(height) take more than \(limits.maxDecodedBytes) bytes")
        }
        var frames: [Image] = []
        frames.reserveCapacity(indices.count)
        for index in indices { frames.append(try frame(at: index)) }
        return frames
    }

    /// `count` frames spread evenly from the first to the last.
    public func frames(count: Int) throws(MediaError) -> [Image] {
        try frames(atIndices: try evenIndices(count: count))
    }

    /// Frames at a rate: `duration × rate` of them, at least one, spread evenly.
    public func frames(perSecond rate: Double) throws(MediaError) -> [Image] {
        guard rate > 0, rate.isFinite, framesPerSecond > 0 else {
            throw .invalidRequest(name: name, reason: "it cannot be sampled at \(rate) frames a second")
        }
        let count = Double(frameCount) / framesPerSecond * rate
        return try frames(count: min(frameCount, max(1, Int(min(count, Double(frameCount))))))
    }

    /// `count` indices from the first frame to the last, as `torch.linspace(0, frames - 1, count).round()` gives them.
    public func evenIndices(count: Int) throws(MediaError) -> [Int] {
        guard count > 0 else { throw .invalidRequest(name: name, reason: "\(count) frames cannot be taken from it") }
        let last = Float(frameCount - 1)
        guard count > 1 else { return [0] }
        let step = last / Float(count - 1)
        return (0..<count).map { index in
            // torch counts from the nearer end.
            let place = index < count / 2 ? step * Float(index) : last - step * Float(count - index - 1)
            return min(max(Int(place.rounded(.toNearestOrEven)), 0), frameCount - 1)
        }
    }

    /// When frame `index` is shown, in seconds from the first; 0 for an index outside the video.
    public func time(ofFrame index: Int) -> Double { cm_video_time(video, Int64(index)) }
}
