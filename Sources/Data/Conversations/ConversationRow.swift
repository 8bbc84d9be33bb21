public import Models

/// One conversation of a data set, with the names of its pictures in place of the pictures.
public struct ConversationRow: Sendable, Hashable {
    public enum Part: Sendable, Hashable {
        case text(String)
        /// A path, or a `data:` URL.
        case image(String)
        case video(String)
    }

    public struct Turn: Sendable, Hashable {
        public var role: Role
        public var parts: [Part]

        public init(_ role: Role, _ parts: [Part]) {
            self.role = role
            self.parts = parts
        }
    }

    public var id: String?
    public var turns: [Turn]

    public init(id: String? = nil, turns: [Turn]) {
        self.id = id
        self.turns = turns
    }

    public var images: [String] {
        turns.flatMap(\.parts).compactMap { if case .image(let name) = $0 { name } else { nil } }
    }
    public var videos: [String] {
        turns.flatMap(\.parts).compactMap { if case .video(let name) = $0 { name } else { nil } }
    }
}

/// What to do with pictures that a row lists while no text says where they stand.
public enum UnmarkedPictures: String, Sendable, Hashable, CaseIterable {
    /// The row is wrong.
    case error
    /// They stand before the first words of the user.
    case prepend
    /// The row is used without them.
    case drop
}

/// A data set, or a row of one, that cannot be used.
public struct ConversationFileError: Error, Sendable, Hashable, CustomStringConvertible {
    public var file: String
    /// Line, or number of the row in a file that is one JSON list; from 1.
    public var row: Int?
    public var reason: String

    public init(file: String, row: Int? = nil, reason: String) {
        self.file = file
        self.row = row
        self.reason = reason
    }

    public var description: String { row.map { "\(file):\($0): \(reason)" } ?? "\(file): \(reason)" }
}
