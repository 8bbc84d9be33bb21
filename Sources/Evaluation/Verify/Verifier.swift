public import Foundation
import Goldens

/// Compares folders of goldens with what Omma gives.
public enum Verifier {
    /// Runs every case of a folder in the fixtures' format. What kind of folder it is follows from its files.
    public static func verify(folder: URL) throws -> VerifyReport {
        func has(_ file: String) -> Bool { FileManager.default.fileExists(atPath: folder.appending(path: file).path) }
        if has("config.json"), has("golden.json") {
            var verifier = try ModelVerifier(folder, GoldenFolder(path: folder.path))
            return try verifier.run()
        }
        throw GoldenError(
            file: folder.path,
            fault:
                "holds no goldens that Omma knows; a folder has a golden.json, a tokenizer_golden.json or a chat_templates.jsonl"
        )
    }
}
