import Foundation
import Goldens
import Media
import Models
import Torch

/// `pixels.<file>`: pictures through the image processor that `preprocessor_config.json` describes.
enum PixelsVerifier {
    static func verify(_ contents: GoldenContents, _ goldens: GoldenFolder, _ report: inout VerifyReport) throws
        -> Set<String>
    {
        let names = goldens.tensors.keys.filter { $0.hasPrefix("pixels.") && !$0.hasSuffix(".sample") }.sorted()
        guard !names.isEmpty else { return [] }
        let policy = try FixedResolution(
            ConfigurationReader(contentsOf: contents.url.appending(path: "preprocessor_config.json")))
        for name in names {
            let file = String(name.dropFirst("pixels.".count))
            do {
                let image = try Image(contentsOf: contents.path("images/\(file)"), policy: .asPillow)
                let pixels = try policy.pixels(image)
                report.add(try goldens.compare(name, pixels.doubles(), shape: [1] + pixels.shape))
            } catch {
                report.add(name, holds: false, "\(error)")
            }
        }
        return Set(names)
    }
}
