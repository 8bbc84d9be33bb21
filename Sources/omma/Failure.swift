import ArgumentParser
import Foundation
import Terminal
import Training

/// How the program ends when something went wrong: one clear line on standard error, and a status that scripts can
/// tell apart.
enum Failure {
    /// The work failed.
    static let failed: Int32 = 1
    /// The command line makes no sense.
    static let usage: Int32 = 2
    /// More of the data could not be used than is allowed.
    static let data: Int32 = 3

    /// The status for an error, after what there is to say has been said.
    static func report(_ error: any Error, in command: any ParsableArguments.Type) -> Int32 {
        if let exit = error as? ExitCode { return exit.rawValue }
        let code = command.exitCode(for: error)
        if code == .success {
            // Help and the like are no errors.
            TerminalOutput.standardOutput.line(command.fullMessage(for: error))
            return 0
        }
        if code == .validationFailure {
            let advice = advice(command.fullMessage(for: error))
            TerminalOutput.standardError.line("omma: \(command.message(for: error))\(advice.map { "; \($0)" } ?? "")")
            return usage
        }
        say(error)
        if case TrainingError.samples = error { return data }
        return failed
    }

    /// One line about an error.
    static func say(_ error: any Error) { TerminalOutput.standardError.line("omma: \(text(error))") }

    /// An error in words. Omma's own errors describe themselves; those of the system need to be asked.
    static func text(_ error: any Error) -> String {
        switch error {
        case let error as CocoaError:
            let path = error.filePath ?? error.url?.path
            return error.localizedDescription + (path.map { " (\($0))" } ?? "")
        case let error as any LocalizedError where error.errorDescription != nil: return error.localizedDescription
        case let error as any CustomStringConvertible: return error.description
        default: return "\(error)"
        }
    }

    /// The last line of the parser's message: `See 'omma chat --help' for more information.`
    private static func advice(_ message: String) -> String? {
        let line = message.split(separator: "\n").last { $0.contains("--help") }
        guard let line, let start = line.firstRange(of: "'"), let end = line[start.upperBound...].firstRange(of: "'")
        else { return nil }
        return "see \(line[start.lowerBound..<end.upperBound])"
    }
}
