import ArgumentParser
import Foundation

/// The command-line program: one file a verb.
@main
struct Omma: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "omma", abstract: "Train, fine-tune, evaluate and run vision-language models.",
        discussion: """
            Exit status: 0 done, 1 failed, 2 the command line makes no sense, 3 more of the data could not be used than a \
            recipe allows.
            """,
        subcommands: [
            AblateCommand.self, BenchCommand.self, ChatCommand.self, CheckCommand.self, DataCommand.self,
            DemoCommand.self, EvaluateCommand.self, FineTuneCommand.self, InfoCommand.self, InspectCommand.self,
            LaunchCommand.self, MergeCommand.self, PlanCommand.self, ReportCommand.self, ServeCommand.self,
            SoupCommand.self, TrainCommand.self, VerifyCommand.self,
        ])

    /// Runs on the main thread, where synchronous verbs stay: tensor work must not change threads.
    @MainActor static func main() async {
        do {
            var command = try parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            Foundation.exit(Failure.report(error, in: Self.self))
        }
    }
}
