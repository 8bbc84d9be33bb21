import Foundation
import Goldens
import Hashing
import Media

/// Decoded pictures: hashes of the pixels as Pillow's `convert("RGB")` gives them, turned by EXIF, and over white.
struct ImageVerifier: FolderVerifier {
    static let kind = "images"

    static func matches(_ contents: GoldenContents) -> Bool {
        guard let entries = contents.json["images"].array else { return false }
        return entries.contains { $0["file"].string != nil && $0["rgb"]["sha256"].string != nil }
    }

    static func verify(_ contents: GoldenContents, _ report: inout VerifyReport) throws {
        for entry in contents.json["images"].array ?? [] {
            guard let file = entry["file"].string else {
                report.add("images", holds: false, "an entry of golden.json names no file")
                continue
            }
            do { try verify(file, entry, contents, &report) } catch {
                report.add(file, holds: false, "\(error)")
            }
        }
    }

    private static func verify(
        _ file: String, _ entry: GoldenJSON, _ contents: GoldenContents, _ report: inout VerifyReport
    ) throws {
        let path = contents.path(file)
        let info = try ImageInfo(contentsOf: path)
        if let width = entry["width"].int, let height = entry["height"].int {
            report.add(
                "\(file).size", holds: (info.width, info.height) == (width, height), "is \(info.width)×\(info.height)")
        }
        let orientation = entry["exif_orientation"].int ?? 1
        report.add("\(file).exif_orientation", holds: info.orientation == orientation, "is \(info.orientation)")
        let plain = try Image(contentsOf: path, policy: .asPillow)
        compare("\(file).rgb", plain, entry["rgb"], &report)
        // Pillow turns TIFF files as it loads them.
        let turn = info.format == .tiff ? 1 : info.orientation
        compare(
            "\(file).exif_transposed_rgb", plain.turned(exifOrientation: turn), entry["exif_transposed_rgb"], &report)
        if !entry["rgba_over_white_rgb"].isNull {
            // The golden is not turned: turn it back. A quarter's inverse is the other quarter's.
            let back = turn == 6 ? 8 : turn == 8 ? 6 : turn
            let upright = try Image(contentsOf: path).turned(exifOrientation: back)
            compare("\(file).rgba_over_white_rgb", upright, entry["rgba_over_white_rgb"], &report)
        }
        if let decoded = entry["rgb_as_png"].string {
            compare(
                "\(file).rgb_as_png", try Image(contentsOf: contents.path(decoded), policy: .asPillow), entry["rgb"],
                &report)
        }
    }

    private static func compare(_ name: String, _ image: Image, _ golden: GoldenJSON, _ report: inout VerifyReport) {
        guard let digest = golden["sha256"].string else { return }
        let isSize =
            (golden["width"].int ?? image.width, golden["height"].int ?? image.height) == (image.width, image.height)
        let found = sha256(image.pixels)
        report.add(name, holds: isSize && found == digest, "is \(image.width)×\(image.height) with the hash \(found)")
    }
}
