public import Media

/// Which frames of a video a model sees, and how large, by the rules of the reference's `qwen_vl_utils`.
public struct VideoSampling: Sendable, Hashable {
    /// Releases of the reference that differ in how they round the number of frames.
    public enum Version: Sendable, Hashable {
        /// To the nearest multiple; the default of Qwen2-VL's time.
        case utils008
        /// Down to a multiple.
        case utils014
    }

    public var framesPerSecond: Double
    /// Frames that become one step of the model; a number of frames is a multiple of it.
    public var frameMultiple: Int
    public var minFrames: Int
    public var maxFrames: Int
    /// A side of a frame is a multiple of it.
    public var sideMultiple: Int
    /// Pixels of one frame.
    public var minPixels: Int
    public var maxPixels: Int
    /// Pixels of all frames of one half of the steps: the more frames, the smaller each. Without effect once a limit of
    /// pixels was asked for.
    public var totalPixels: Int
    public var hasFixedLimit = false
    public var version: Version
    /// What replaces all of these; nil for frames at a rate.
    public var segments: Segments?

    /// The middle frame of each of so many equal parts of a video, as a square of one size (InternVL2's `load_video`).
    public struct Segments: Sendable, Hashable {
        public var count: Int
        /// Side of the squares in pixels.
        public var side: Int
    }

    /// - Parameter count: 8 in InternVL2's example, 8 to 32 in its training and evaluation.
    public static func segments(_ count: Int = 8, side: Int) -> VideoSampling {
        var sampling = VideoSampling(minFrames: 1, maxFrames: count)
        sampling.segments = Segments(count: count, side: side)
        return sampling
    }

    /// The published numbers, which count in blocks of `sideMultiple` squared: 128 to 768 of them a frame, 24576 in all.
    public init(
        framesPerSecond: Double = 2, frameMultiple: Int = 2, minFrames: Int = 4, maxFrames: Int = 768,
        sideMultiple: Int = 28, version: Version = .utils008
    ) {
        self.framesPerSecond = framesPerSecond
        self.frameMultiple = frameMultiple
        self.minFrames = minFrames
        self.maxFrames = maxFrames
        self.sideMultiple = sideMultiple
        let block = sideMultiple * sideMultiple
        minPixels = 128 * block
        maxPixels = 768 * block
        totalPixels = 24576 * block
        self.version = version
    }

    /// How many of `total` frames, shown at `rate` a second, are taken. A single frame is taken alone, where the
    /// reference refuses the video.
    ///
    /// - Throws: `ProcessingError` for a video without frames or without a rate.
    public func frameCount(total: Int, rate: Double) throws(ProcessingError) -> Int {
        guard total > 0 else { throw .emptyVideo }
        if let segments { return segments.count }
        guard rate > 0, rate.isFinite else {
            throw .unsupported("the video does not tell its frame rate, so it cannot be sampled")
        }
        guard total >= frameMultiple else { return total }
        func floored(_ count: Int) -> Int { count / frameMultiple * frameMultiple }
        let least = Double((minFrames + frameMultiple - 1) / frameMultiple * frameMultiple)
        let most = Double(floored(min(maxFrames, total)))
        let wanted = min(max(Double(total) / rate * framesPerSecond, least), most)
        switch version {
        case .utils008:
            // Python's round: half to even.
            return Int((wanted / Double(frameMultiple)).rounded(.toNearestOrEven)) * frameMultiple
        case .utils014: return floored(Int(min(wanted, Double(total))))
        }
    }

    /// The most pixels that one of `frames` frames may have.
    public func maxPixels(frames: Int) -> Int {
        if hasFixedLimit { return maxPixels }
        let share = Double(totalPixels) / Double(max(frames, 1)) * Double(frameMultiple)
        return max(Int(min(Double(maxPixels), share)), Int(1.05 * Double(minPixels)))
    }

    /// The size that each of `frames` frames is resized to.
    public func frameSize(width: Int, height: Int, frames: Int) throws -> (height: Int, width: Int) {
        if let segments { return (segments.side, segments.side) }
        return try SmartResize(
            factor: sideMultiple, minPixels: min(minPixels, maxPixels(frames: frames)),
            maxPixels: maxPixels(frames: frames), version: .points15
        ).size(height: height, width: width)
    }

    /// The frames of a video file, chosen and resized.
    ///
    /// - Throws: `ProcessingError`, `MediaError`.
    public func video(_ reader: VideoReader) throws -> Video {
        let count = try frameCount(total: reader.frameCount, rate: reader.framesPerSecond)
        let size = try frameSize(width: reader.width, height: reader.height, frames: count)
        // One by one: the frames as stored may together be far larger than what is kept of them.
        let indices = try segments?.indices(total: reader.frameCount) ?? reader.evenIndices(count: count)
        let frames = try indices.map { index in
            try reader.frame(at: index).resized(width: size.width, height: size.height, filter: .bicubic)
        }
        let rate = Double(count) / (Double(reader.frameCount) / reader.framesPerSecond)
        return Video(frames: frames, framesPerSecond: rate)
    }
}

extension VideoSampling.Segments {
    /// The frames of a video of `total` frames; a short one shows some of them more than once (`get_index`).
    func indices(total: Int) -> [Int] {
        // The reference counts the last frame as the end.
        let length = Double(total - 1) / Double(count)
        return (0..<count).map { part in
            // Python's round: half to even.
            let place = length / 2 + (length * Double(part)).rounded(.toNearestOrEven)
            return min(Int(place), total - 1)
        }
    }
}
