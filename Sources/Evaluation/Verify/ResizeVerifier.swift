import Foundation
import Goldens
import Media

/// Resized pictures: Pillow's filters on bytes to the last bit, torch's on tensors within a tolerance.
///
/// `pil*` cases hold bytes (`[height, width, channels]`); others hold three tensors (`[channels, height, width]`):
/// `.uint8` and `.float` are antialiased, `.noaa` is not.
struct ResizeVerifier: FolderVerifier {
    static let kind = "resize"

    static func matches(_ contents: GoldenContents) -> Bool {
        guard let cases = contents.json["cases"].object else { return false }
        return cases.values.contains { !$0["source"].isNull && !$0["filter"].isNull && !$0["width"].isNull }
    }

    /// A case, read.
    private struct Case {
        let name: String
        let source: Image
        let width: Int
        let height: Int
        let filter: ResizeFilter
        let box: ResizeBox?

        init(_ name: String, _ golden: GoldenJSON, _ contents: GoldenContents) throws {
            func refuse(_ what: String) -> GoldenError {
                GoldenError(file: contents.url.path, tensor: name, fault: what)
            }
            guard let file = golden["source"].string else { throw refuse("names no source") }
            guard let width = golden["width"].int, let height = golden["height"].int else {
                throw refuse("has no size")
            }
            guard let filter = golden["filter"].string.flatMap(ResizeFilter.init(rawValue:)) else {
                throw refuse("asks for an unknown filter")
            }
            self.name = name
            self.width = width
            self.height = height
            self.filter = filter
            source = try Image(contentsOf: contents.path(file), policy: .asPillow)
            guard let edges = golden["box"].doubles?.map({ Float($0) }), edges.count == 4 else {
                box = nil
                return
            }
            box = ResizeBox(left: edges[0], top: edges[1], right: edges[2], bottom: edges[3])
        }
    }

    static func verify(_ contents: GoldenContents, _ report: inout VerifyReport) throws {
        let goldens = try GoldenFolder(path: contents.url.path)
        for (name, golden) in (contents.json["cases"].object ?? [:]).sorted(by: { $0.key < $1.key }) {
            do {
                let item = try Case(name, golden, contents)
                let tensors = goldens.tensors.keys.filter { $0 == name || $0.hasPrefix(name + ".") }.sorted()
                if tensors.isEmpty { report.add(name, holds: false, "the golden has no tensor for this case") }
                for tensor in tensors {
                    report.add(try compare(tensor, item, goldens))
                }
            } catch {
                report.add(name, holds: false, "\(error)")
            }
        }
    }

    private static func compare(_ name: String, _ item: Case, _ goldens: GoldenFolder) throws -> GoldenReport {
        let shape = try goldens.tensor(name).shape
        switch name.dropFirst(item.name.count) {
        case "":
            let channels = shape.count == 3 ? shape[2] : 1
            return try goldens.compare(name, bytes(item, channels: channels).map { Double($0) }, shape: shape)
        case ".uint8":
            let image = try item.source.resizedAsTorch(width: item.width, height: item.height, filter: item.filter)
            // Nothing is allowed, whatever the golden allows: the arithmetic is known.
            return try goldens.compare(
                name, planes(image, channels: shape[0]).map { Double($0 * 255) }, shape: shape,
                rule: .close(absolute: 1e-3, relative: 0))
        case ".float":
            var values = try resizePlanes(
                planes(item.source, channels: shape[0]), width: item.source.width, height: item.source.height,
                to: item.width, item.height, filter: item.filter)
            if item.width == 1, item.height != item.source.height {
                // torch (2.13 to 2.15) repeats the first row where an antialiased result is one column wide.
                values = stride(from: 0, to: values.count, by: item.height).flatMap {
                    [Float](repeating: values[$0], count: item.height)
                }
            }
            return try goldens.compare(name, values, shape: shape)
        case ".noaa":
            let values = try interpolatePlanes(
                planes(item.source, channels: shape[0]), width: item.source.width, height: item.source.height,
                to: item.width, item.height, filter: item.filter)
            return try goldens.compare(name, values, shape: shape)
        default: throw GoldenError(file: goldens.path, tensor: name, fault: "is of no known kind of resizing")
        }
    }

    /// Pillow's result, interleaved. Of a grey picture all channels are equal, so one of them is Pillow's mode L.
    private static func bytes(_ item: Case, channels: Int) throws -> [UInt8] {
        let image = try item.source.resized(width: item.width, height: item.height, filter: item.filter, box: item.box)
        return channels == 3 ? image.pixels : stride(from: 0, to: image.pixels.count, by: 3).map { image.pixels[$0] }
    }

    /// `[channels, height, width]` in 0...1.
    private static func planes(_ image: Image, channels: Int) -> [Float] {
        (0..<min(max(channels, 1), 3)).flatMap { channel in
            stride(from: channel, to: image.pixels.count, by: 3).map { Float(image.pixels[$0]) / 255 }
        }
    }
}
