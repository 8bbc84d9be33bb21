public import Foundation
import Goldens
public import Torch

/// Compares folders of goldens with what Omma gives.
public enum Verifier {
    private static let kinds: [any FolderVerifier.Type] = [
        ModelVerifier.self, ModuleVerifier.self, TokenizerVerifier.self, ChatTemplateVerifier.self, ImageVerifier.self,
        ResizeVerifier.self, SmartResizeVerifier.self, TilingVerifier.self,
    ]

    /// Runs every case of a folder in the fixtures' format. What kind of folder it is follows from its files; a folder
    /// that holds goldens of several kinds is verified as each of them.
    ///
    /// - Parameter device: where whole models run; all else is of the CPU.
    /// - Throws: `GoldenError` where the folder holds no goldens, and what reading its files throws. What differs is no
    ///   error: it stands in the report.
    public static func verify(folder: URL, device: Device = .cpu) throws -> VerifyReport {
        let contents = try GoldenContents(folder, device: device)
        let found = kinds.filter { $0.matches(contents) }
        guard !found.isEmpty else {
            throw GoldenError(
                file: folder.path,
                fault: "holds no goldens of a known kind (\(kinds.map { $0.kind }.joined(separator: ", "))); a folder "
                    + "has a golden.json, a tokenizer_golden.json or templates and renderings in *.jsonl")
        }
        var report = VerifyReport(folder: folder.path, kind: found.map { $0.kind }.joined(separator: ", "))
        for kind in found { try kind.verify(contents, &report) }
        return report
    }
}
