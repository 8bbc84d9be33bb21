import Foundation
import Goldens
import Torch

/// A folder of goldens before anyone knows its kind: its files and its `golden.json`.
struct GoldenContents {
    let url: URL
    /// Names of what lies in the folder, sorted.
    let names: [String]
    /// `golden.json`; `.null` where there is none.
    let json: GoldenJSON
    /// Where models run.
    let device: Device

    init(_ url: URL, device: Device) throws {
        self.url = url
        self.device = device
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder), isFolder.boolValue else {
            throw GoldenError(file: url.path, fault: "is not a folder")
        }
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: url.path).sorted()
        } catch {
            throw GoldenError(file: url.path, fault: "cannot be listed: \(error.localizedDescription)")
        }
        json = names.contains("golden.json") ? try Self.read(url.appending(path: "golden.json")) : .null
    }

    func has(_ name: String) -> Bool { names.contains(name) }

    /// The path of a file in the folder.
    func path(_ name: String) -> String { url.appending(path: name).path }

    /// Reads a JSON file, and names it in the error.
    static func read(_ url: URL) throws -> GoldenJSON {
        do { return try GoldenJSON(path: url.path) } catch {
            throw GoldenError(file: url.path, fault: "is not a JSON file that can be read (\(error))")
        }
    }
}

/// One kind of golden folder and how it is verified.
protocol FolderVerifier: SendableMetatype {
    /// The kind's name in reports.
    static var kind: String { get }
    /// Whether the folder holds goldens of this kind; its name says nothing.
    static func matches(_ contents: GoldenContents) -> Bool
    /// Compares every case.
    static func verify(_ contents: GoldenContents, _ report: inout VerifyReport) throws
}
