import ArgumentParser
import Foundation

/// The command-line program: one file a verb.
@main
struct Omma: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "omma", abstract: "Train, fine-tune, evaluate and run vision-language models.",
        subcommands: [
            BenchCommand.self, ChatCommand.self, DataCommand.self, DemoCommand.self, EvaluateCommand.self,
            InfoCommand.self, TrainCommand.self, VerifyCommand.self,
        ])
}
