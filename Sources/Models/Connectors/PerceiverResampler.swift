public import NN
public import Torch

/// Flamingo's perceiver resampler (Alayrac et al. 2022, appendix A.1.1) in open_flamingo's layout: latents that attend,
/// layer by layer, to a picture's (or a video's) features and to themselves.
public final class PerceiverResampler {
    public struct Configuration: Sendable, Hashable {
        public var size: Int
        public var depth: Int
        public var heads: Int
        public var headSize: Int
        public var latents: Int
        /// The feed-forward part's width as a multiple of `size`.
        public var feedForwardFactor: Int
        /// Places for which a learned vector tells a picture's number and a frame's; nil without.
        public var maxPictures: Int?
        public var maxFrames: Int?

        public init(
            size: Int, depth: Int = 6, heads: Int = 8, headSize: Int = 64, latents: Int = 64,
            feedForwardFactor: Int = 4, maxPictures: Int? = nil, maxFrames: Int? = nil
        ) {
            self.size = size
            self.depth = depth
            self.heads = heads
            self.headSize = headSize
            self.latents = latents
            self.feedForwardFactor = feedForwardFactor
            self.maxPictures = maxPictures
            self.maxFrames = maxFrames
        }

        /// Reads the arguments of open_flamingo's initialiser by their own names.
        public init(_ reader: ConfigurationReader) throws {
            func optional(_ field: String) throws -> Int? {
                reader.has(field) ? try reader.integer(field, in: 1...4096) : nil
            }
            self.init(
                size: try reader.integer("dim", in: 1...(1 << 20)),
                depth: try reader.integer("depth", default: 6, in: 1...256),
                heads: try reader.integer("heads", default: 8, in: 1...4096),
                headSize: try reader.integer("dim_head", default: 64, in: 1...4096),
                latents: try reader.integer("num_latents", default: 64, in: 1...(1 << 16)),
                feedForwardFactor: try reader.integer("ff_mult", default: 4, in: 1...64),
                maxPictures: try optional("max_num_media"), maxFrames: try optional("max_num_frames"))
            try reader.finish(harmless: ConfigurationReader.bookkeeping)
        }
    }

    private final class Layer {
        let mediaNorm: LayerNorm
        let latentNorm: LayerNorm
        let attention: CrossAttention
        let feedForwardNorm: LayerNorm
        let feedForward: PlainFeedForward

        init(_ configuration: Configuration, _ scope: ParameterScope) throws {
            let size = configuration.size, inner = size * configuration.feedForwardFactor
            let attending = scope[0], forward = scope[1]
            mediaNorm = try LayerNorm(size, epsilon: 1e-5, attending["norm_media"])
            latentNorm = try LayerNorm(size, epsilon: 1e-5, attending["norm_latents"])
            attention = try CrossAttention(
                querySize: size, keySize: size, heads: configuration.heads, headSize: configuration.headSize,
                layout: .queryAndKeyValue(output: "to_out"), attending)
            feedForwardNorm = try LayerNorm(size, epsilon: 1e-5, forward[0])
            feedForward = PlainFeedForward(
                up: try Linear(size, inner, bias: false, forward[1]),
                down: try Linear(inner, size, bias: false, forward[3]), activation: .gelu)
        }
    }

    public let configuration: Configuration
    private let latents: Parameter
    private let framePositions: Parameter?
    private let picturePositions: Parameter?
    private let layers: [Layer]
    private let norm: LayerNorm

    public init(_ configuration: Configuration, _ scope: ParameterScope) throws {
        self.configuration = configuration
        let size = configuration.size
        latents = try scope.parameter("latents", [configuration.latents, size], .normal(1))
        framePositions = try configuration.maxFrames.map {
            try scope.parameter("frame_embs", [$0, size], .normal(1))
        }
        picturePositions = try configuration.maxPictures.map {
            try scope.parameter("media_time_embs", [$0, 1, size], .normal(1))
        }
        layers = try (0..<configuration.depth).map { try Layer(configuration, scope["layers"][$0]) }
        norm = try LayerNorm(size, epsilon: 1e-5, scope["norm"])
    }

    /// - Parameters:
    ///   - x: `[tokens of all pictures, size]`.
    ///   - segments: a picture (or a video, frame after frame) each.
    ///   - frames: how many frames each has; nil for single ones.
    ///   - numbers: the number of each picture within its sequence; nil where all are first ones.
    /// - Returns: `[pictures × latents, size]`.
    public func callAsFunction(_ x: Tensor, _ segments: Segments, frames: [Int]? = nil, numbers: [Int]? = nil) throws
        -> Tensor
    {
        let media = try x + offsets(segments, frames: frames, numbers: numbers, like: x)
        let queries = Segments(lengths: [Int](repeating: configuration.latents, count: segments.count))
        // Keys are a picture's features and then its latents.
        var order: [Int] = []
        for index in 0..<segments.count {
            order += segments.range(index)
            order += queries.range(index).map { segments.total + $0 }
        }
        let rows = try Tensor(order).to(x.device)
        let keySegments = Segments(lengths: segments.lengths.map { $0 + configuration.latents })
        var hidden = try latents.tensor.tile(segments.count, 1)
        for layer in layers {
            let normed = try layer.latentNorm(hidden)
            let keys = try Tensor.cat([layer.mediaNorm(media), normed]).indexSelect(0, rows)
            hidden =
                try hidden
                + layer.attention(normed, keys: keys, values: keys, queries: queries, segments: keySegments)
            hidden = try hidden + layer.feedForward(layer.feedForwardNorm(hidden))
        }
        return try norm(hidden)
    }

    /// What frames' and pictures' numbers add to each token.
    private func offsets(_ segments: Segments, frames: [Int]?, numbers: [Int]?, like x: Tensor) throws -> Tensor {
        var frameIndex: [Int] = [], pictureIndex: [Int] = []
        for (picture, length) in segments.lengths.enumerated() {
            let count = frames?[picture] ?? 1
            guard count > 0, length % count == 0 else {
                throw ProcessingError.unsupported("\(length) features do not divide into \(count) frames")
            }
            frameIndex += (0..<length).map { $0 / (length / count) }
            pictureIndex += [Int](repeating: numbers?[picture] ?? 0, count: length)
        }
        func rows(_ table: Parameter?, _ indices: [Int], _ what: String) throws -> Tensor? {
            guard let table else { return nil }
            if let bad = indices.first(where: { $0 >= table.shape[0] }) {
                throw ProcessingError.unsupported(
                    "\(what) \(bad + 1) has no place in the resampler, which knows \(table.shape[0]); use fewer")
            }
            return try table.tensor.view([-1, configuration.size]).embedding(Tensor(indices).to(x.device))
        }
        let parts = try [
            rows(framePositions, frameIndex, "frame"), rows(picturePositions, pictureIndex, "picture"),
        ].compactMap { $0 }
        guard let first = parts.first else { return try Tensor.zeros([1], dtype: x.dtype, device: x.device) }
        return try parts.dropFirst().reduce(first) { try $0 + $1 }
    }
}
