import Models
import Terminal
import Text

/// A conversation as the model reads it while learning: what the loss counts stands in ⟦brackets⟧.
enum SupervisedText {
    /// Prints the conversation; a picture's places are one mark.
    static func show(
        _ sequence: ProcessedSequence, _ tokenizer: Tokenizer, title: String, on output: TerminalOutput
    ) throws {
        var text = "", start = 0
        let rows = sequence.rows
        func isNew(_ index: Int) -> Bool {
            index == rows.count || rows[index].item != rows[start].item
                || rows[index].isSupervised != rows[start].isSupervised
        }
        for index in 1..<max(1, rows.count + 1) where isNew(index) {
            if rows[start].item >= 0 {
                text += "<picture \(rows[start].item + 1): \(index - start) tokens>"
            } else {
                let words = try tokenizer.decode(rows[start..<index].map(\.id))
                text += rows[start].isSupervised ? "⟦\(words)⟧" : words
            }
            start = index
        }
        let share = Double(sequence.supervisedCount) / Double(max(1, rows.count))
        output.line(
            "\(title): \(rows.count) tokens, \(sequence.supervisedCount) of them learned (\(Format.percent(share, 0)))")
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            output.line(output.coloured("  | ", .dim) + String(line).printable)
        }
    }
}
