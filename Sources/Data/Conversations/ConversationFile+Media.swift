internal import Foundation
public import Media
public import Models

extension ConversationFile {
    /// The conversation of a row with its pictures.
    ///
    /// - Parameter sampling: how frames of videos are chosen; nil where the model takes none.
    /// - Throws: `ConversationFileError` naming the line and, where it is at fault, the picture.
    public func conversation(at index: Int, sampling: VideoSampling?, limits: DecodeLimits = DecodeLimits()) throws
        -> Conversation
    {
        let row = try row(at: index)
        return try row.turns.map { turn in
            Message(
                turn.role,
                try turn.parts.map { part in
                    switch part {
                    case .text(let text): return .text(text)
                    case .image(let name):
                        return .image(
                            try named(name, index) { location in
                                switch location {
                                case .file(let path): try Image(contentsOf: path, policy: .upright, limits: limits)
                                case .bytes(let bytes):
                                    try Image.decode(
                                        bytes, name: "picture of the row", policy: .upright, limits: limits)
                                }
                            })
                    case .video(let name):
                        guard let sampling else {
                            throw ConversationFileError(
                                file: url.path, row: line(of: index), reason: "has a video; this model takes none")
                        }
                        return .video(
                            try named(name, index) { location in
                                guard case .file(let path) = location else {
                                    throw ConversationFileError(
                                        file: url.path, row: line(of: index), reason: "videos must be files")
                                }
                                return try sampling.video(VideoReader(path: path, policy: .upright))
                            })
                    }
                })
        }
    }

    /// A problem of every row that has one: its format, pictures that are missing or, by their headers, no pictures.
    ///
    /// - Parameter progress: called from time to time with the number of rows looked at.
    public func problems(progress: (Int) -> Void = { _ in }) -> [ConversationFileError] {
        var problems: [ConversationFileError] = []
        for index in 0..<count {
            do {
                let row = try row(at: index)
                for name in row.images {
                    try named(name, index) { location in
                        switch location {
                        case .file(let path): _ = try ImageInfo(contentsOf: path)
                        case .bytes(let bytes): _ = try ImageInfo(bytes)
                        }
                    }
                }
                for name in row.videos {
                    try named(name, index) { location in
                        if case .file(let path) = location { _ = try VideoReader(path: path) }
                    }
                }
            } catch let error as ConversationFileError {
                problems.append(error)
            } catch {
                problems.append(ConversationFileError(file: url.path, row: line(of: index), reason: "\(error)"))
            }
            if (index + 1) % 100 == 0 || index + 1 == count { progress(index + 1) }
        }
        return problems
    }

    private enum Location {
        case file(String)
        case bytes([UInt8])
    }

    /// Calls `body` with where a name leads, and gives its errors the line.
    private func named<Value>(_ name: String, _ index: Int, _ body: (Location) throws -> Value) throws -> Value {
        func failure(_ reason: String) -> ConversationFileError {
            ConversationFileError(file: url.path, row: line(of: index), reason: reason)
        }
        let location: Location
        if DataURL.isOne(name) {
            guard let bytes = DataURL(name)?.decoded() else { throw failure("has a data URL that is not base64") }
            location = .bytes(bytes)
        } else if name.hasPrefix("http://") || name.hasPrefix("https://") {
            throw failure("names '\(name)'; download it first and give its path")
        } else {
            let path = name.hasPrefix("file://") ? String(name.dropFirst(7)) : name
            location = .file(path.hasPrefix("/") ? path : images.appendingPathComponent(path).path)
        }
        do { return try body(location) } catch let error as MediaError {
            throw failure("\(error)")
        }
    }
}
