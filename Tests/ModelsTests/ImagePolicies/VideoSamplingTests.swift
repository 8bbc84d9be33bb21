import Models
import Testing

/// Numbers worked out by hand from `qwen_vl_utils`: `smart_nframes` and the limit of pixels in `fetch_video`.
struct VideoSamplingTests {
    @Test(arguments: [
        // frames, frames a second, taken by 0.0.8, taken by 0.0.14
        (300, 30.0, 20, 20),
        (100, 30.0, 6, 6),
        // 7 frames: to 8 (3.5 rounds to even), down to 6.
        (105, 30.0, 8, 6),
        // 5 frames: to 4 (2.5 rounds to even).
        (75, 30.0, 4, 4),
        // Too short for four.
        (3, 30.0, 2, 2),
        (5, 1.0, 4, 4),
        (100_000, 25.0, 768, 768),
        (1, 30.0, 1, 1),
    ]) func counts(total: Int, rate: Double, old: Int, new: Int) throws {
        #expect(try VideoSampling().frameCount(total: total, rate: rate) == old)
        #expect(try VideoSampling(version: .utils014).frameCount(total: total, rate: rate) == new)
    }

    @Test func countsAreEvenAndWithinTheVideo() throws {
        for version in [VideoSampling.Version.utils008, .utils014] {
            for total in 2..<400 {
                for rate in [0.5, 12, 23.976, 30, 240] {
                    let count = try VideoSampling(version: version).frameCount(total: total, rate: rate)
                    #expect(count % 2 == 0 && count >= 2 && count <= total, "\(total) at \(rate)")
                }
            }
        }
    }

    @Test func videosWithoutFramesOrRateAreErrors() {
        #expect(throws: ProcessingError.emptyVideo) { try VideoSampling().frameCount(total: 0, rate: 30) }
        for rate in [0, -1, Double.nan, .infinity] {
            #expect(throws: ProcessingError.self) { try VideoSampling().frameCount(total: 10, rate: rate) }
        }
    }

    @Test func longVideosGetSmallerFrames() throws {
        let sampling = VideoSampling()
        #expect(sampling.maxPixels(frames: 4) == 768 * 28 * 28)
        #expect(sampling.maxPixels(frames: 100) == 385_351)
        #expect(sampling.maxPixels(frames: 768) == 105_369, "never below 1.05 times the least")
        let short = try sampling.frameSize(width: 1920, height: 1080, frames: 4)
        #expect(short.width == 1008 && short.height == 560)
        var fixed = sampling
        fixed.maxPixels = 200_000
        fixed.hasFixedLimit = true
        #expect(fixed.maxPixels(frames: 768) == 200_000)
    }
}
