extension Qwen2VLProcessor {
    public var pixelLimits: ClosedRange<Int>? {
        imagePolicy.flatMap {
            $0.resize.minPixels <= $0.resize.maxPixels ? $0.resize.minPixels...$0.resize.maxPixels : nil
        }
    }

    public var videoSampling: VideoSampling? {
        guard let imagePolicy else { return nil }
        var sampling = VideoSampling(
            frameMultiple: imagePolicy.temporalPatchSize, sideMultiple: imagePolicy.patchSize * imagePolicy.mergeSize)
        // A folder whose pictures are smaller than the published frames means its frames to be so, too.
        let limit = imagePolicy.resize.maxPixels
        if hasPixelLimit || limit < sampling.maxPixels {
            sampling.maxPixels = hasPixelLimit ? limit : min(limit, sampling.maxPixels)
            sampling.minPixels = min(
                hasPixelLimit ? imagePolicy.resize.minPixels : sampling.minPixels, sampling.maxPixels)
            sampling.hasFixedLimit = true
        }
        return sampling
    }

    public func limitingPixels(min: Int?, max: Int?) throws -> any ConversationProcessor {
        guard min != nil || max != nil else { return self }
        guard var policy = imagePolicy else { throw ProcessingError.unsupported("this model reads text only") }
        // A lower maximum takes the minimum with it, unless that one was asked for, too.
        let largest = max ?? Swift.max(policy.resize.maxPixels, min ?? 0)
        let smallest = min ?? Swift.min(policy.resize.minPixels, largest)
        guard smallest > 0, smallest <= largest else {
            throw ProcessingError.unsupported("pixels from \(smallest) to \(largest) are no range")
        }
        policy.resize.minPixels = smallest
        policy.resize.maxPixels = largest
        return Qwen2VLProcessor(
            configuration: configuration, tokenizer: tokenizer, template: template, imagePolicy: policy,
            stopTokens: stopTokens, hasPixelLimit: true)
    }
}
