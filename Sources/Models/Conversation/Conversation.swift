public import Media

/// Who speaks.
public enum Role: String, Sendable, Hashable, CaseIterable {
    case system, user, assistant, tool
}

/// A clip as the models take it: frames already chosen, in order.
public struct Video: Sendable, Hashable {
    public var frames: [Image]
    /// Frames a second at which they were taken.
    public var framesPerSecond: Double

    public init(frames: [Image], framesPerSecond: Double) {
        self.frames = frames
        self.framesPerSecond = framesPerSecond
    }
}

/// A piece of a message. Pictures stand where they are meant, never as marks inside a text.
public enum Part: Sendable, Hashable {
    case text(String)
    case image(Image)
    case video(Video)
}

public struct Message: Sendable, Hashable {
    public var role: Role
    public var parts: [Part]

    public init(_ role: Role, _ parts: [Part]) {
        self.role = role
        self.parts = parts
    }

    public init(_ role: Role, _ text: String) { self.init(role, [.text(text)]) }

    /// The text parts, joined.
    public var text: String {
        parts.reduce(into: "") { if case .text(let text) = $1 { $0 += text } }
    }
}

public typealias Conversation = [Message]

extension [Message] {
    /// Puts noise in the place of all pictures and frames, of the same sizes: what is answered then is answered from
    /// the words alone.
    public mutating func hidePictures(using generator: inout SeededGenerator) {
        for message in indices {
            for part in self[message].parts.indices {
                switch self[message].parts[part] {
                case .text: break
                case .image(let image):
                    self[message].parts[part] = .image(.noise(like: image, using: &generator))
                case .video(var video):
                    video.frames = video.frames.map { .noise(like: $0, using: &generator) }
                    self[message].parts[part] = .video(video)
                }
            }
        }
    }
}
