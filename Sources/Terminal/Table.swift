/// A table whose columns line up on a terminal.
public struct Table: Sendable {
    /// A column's heading and where its cells stand.
    public struct Column: Sendable {
        /// The heading.
        public var title: String
        /// Where the cells stand: numbers to the right.
        public var alignment: Alignment

        /// A column.
        public init(_ title: String, _ alignment: Alignment = .left) {
            self.title = title
            self.alignment = alignment
        }
    }

    /// The columns.
    public var columns: [Column]
    /// The rows; short ones are filled with empty cells, and what is beyond the columns is left out.
    public var rows: [[String]] = []

    /// A table without rows.
    public init(_ columns: [Column]) { self.columns = columns }

    /// Adds a row.
    public mutating func add(_ cells: String...) { rows.append(cells) }

    /// Adds a row of as many cells as there are.
    public mutating func add(_ cells: [String]) { rows.append(cells) }

    /// The table as text, without a line break at the end.
    ///
    /// - Parameter width: cuts every line to so many columns; `nil` cuts nothing.
    public func text(width: Int? = nil) -> String {
        let cells = rows.map { row in
            columns.indices.map { row.indices.contains($0) ? row[$0].printable : "" }
        }
        let widths = columns.indices.map { index in
            cells.reduce(columns[index].title.displayWidth) { max($0, $1[index].displayWidth) }
        }
        func line(_ cells: [String]) -> String {
            let padded = columns.indices.map { cells[$0].padded(to: widths[$0], columns[$0].alignment) }
            let text = String(padded.joined(separator: "  ").reversed().drop { $0 == " " }.reversed())
            return width.map { text.truncated(to: $0) } ?? text
        }
        let rule = line(widths.map { String(repeating: "-", count: $0) })
        return ([line(columns.map(\.title)), rule] + cells.map(line)).joined(separator: "\n")
    }

    /// The table in Markdown, for reports.
    public var markdown: String {
        func line(_ cells: [String]) -> String {
            "| "
                + cells.map {
                    $0.printable.split(separator: "|", omittingEmptySubsequences: false).joined(separator: "\\|")
                }
                .joined(separator: " | ") + " |"
        }
        let rule = "|" + columns.map { $0.alignment == .right ? " ---: |" : " --- |" }.joined()
        let body = rows.map { row in line(columns.indices.map { row.indices.contains($0) ? row[$0] : "" }) }
        return ([line(columns.map(\.title)), rule] + body).joined(separator: "\n")
    }
}
