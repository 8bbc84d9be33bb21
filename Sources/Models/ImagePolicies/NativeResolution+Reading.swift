internal import Foundation
internal import Media

extension NativeResolution {
    /// Reads `preprocessor_config.json`; the published defaults where there is none.
    init(
        folder: URL, tower vision: Qwen2VisionTower.Configuration,
        version: SmartResize.Version = .transformers5
    ) throws {
        let file = folder.appending(path: "preprocessor_config.json")
        guard FileManager.default.fileExists(atPath: file.path) else {
            self.init(
                patchSize: vision.patchSize, temporalPatchSize: vision.temporalPatchSize, mergeSize: vision.mergeSize,
                version: version)
            return
        }
        let reader = try ConfigurationReader(contentsOf: file)
        for (field, expected) in [
            ("patch_size", vision.patchSize), ("merge_size", vision.mergeSize),
            ("temporal_patch_size", vision.temporalPatchSize),
        ] {
            let found = try reader.integer(field, default: expected)
            guard found == expected else {
                throw reader.failure(field, "is \(found), but config.json says \(expected)")
            }
        }
        for flag in ["do_resize", "do_rescale", "do_normalize", "do_convert_rgb"] {
            try reader.require(flag, .bool(true))
        }
        // Pillow's numbers: 0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic.
        try reader.require("resample", .number(3))
        let size = try reader.object("size")
        let minPixels = try reader.integer(
            "min_pixels",
            default: size?.integer(size?.has("shortest_edge") == true ? "shortest_edge" : "min_pixels", default: 3136)
                ?? 3136)
        let maxPixels = try reader.integer(
            "max_pixels",
            default: size?.integer(
                size?.has("longest_edge") == true ? "longest_edge" : "max_pixels", default: 12_845_056) ?? 12_845_056)
        guard minPixels <= maxPixels else {
            throw reader.failure("min_pixels", "is \(minPixels), more than max_pixels \(maxPixels)")
        }
        self.init(
            patchSize: vision.patchSize, temporalPatchSize: vision.temporalPatchSize, mergeSize: vision.mergeSize,
            minPixels: minPixels, maxPixels: maxPixels,
            normalization: try PixelNormalization(reader, default: .clip), version: version)
        try reader.finish(harmless: ["image_processor_type", "processor_class", "size", "min_pixels", "max_pixels"])
    }
}
