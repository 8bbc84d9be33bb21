extension Qwen2VLProcessor {
    public var visionPolicy: (any ImagePolicy)? { imagePolicy }
    public var pixelLimits: ClosedRange<Int>? { imagePolicy?.pixelLimits }

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
        guard let imagePolicy else { throw ProcessingError.unsupported("this model reads text only") }
        return Qwen2VLProcessor(
            configuration: configuration, tokenizer: tokenizer, template: template,
            imagePolicy: try imagePolicy.limitingPixels(min: min, max: max), stopTokens: stopTokens, hasPixelLimit: true
        )
    }
}
