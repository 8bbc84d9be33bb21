internal import Fetching
internal import Serving
internal import Text

/// Fetches the pictures that messages name by http or https addresses, before the messages are read.
struct PictureAddresses {
    /// Nil where nothing may be fetched.
    let fetcher: Fetcher?
    let limits: PromptLimits
    /// Bytes of all files of a request together.
    let maxBytes: Int

    static func isOne(_ url: String) -> Bool {
        let start = url.prefix(8).lowercased()
        return start.hasPrefix("http://") || start.hasPrefix("https://")
    }

    /// The files, by their addresses.
    ///
    /// - Throws: `APIError` with the field that names the address, `CancellationError`.
    func files(_ request: RequestObject) async throws -> [String: [UInt8]] {
        guard let fetcher else { return [:] }
        var fields: [String: String] = [:]
        for (url, field) in Self.addresses(request) where fields[url] == nil { fields[url] = field }
        guard fields.count <= limits.maxPictures else {
            throw APIError.invalid(
                "there are \(fields.count) pictures; at most \(limits.maxPictures) are taken", "messages",
                code: "too_many")
        }
        return try await withThrowingTaskGroup(of: (String, [UInt8]).self) { group in
            for (url, field) in fields {
                group.addTask {
                    do { return (url, try await fetcher.fetch(url, maxBytes: limits.maxPictureBytes)) } catch {
                        throw APIError.invalid("\(field) \(error)", field, code: "invalid_image_url")
                    }
                }
            }
            var files: [String: [UInt8]] = [:], total = 0
            for try await (url, file) in group {
                total += file.count
                guard total <= maxBytes else {
                    throw APIError.invalid(
                        "the pictures have more than the \(maxBytes) bytes that a request may have", "messages",
                        code: "too_large")
                }
                files[url] = file
            }
            return files
        }
    }

    /// Addresses wherever a message may hold a picture. What has another shape is no business of this: reading the
    /// messages says what is wrong with it.
    private static func addresses(_ request: RequestObject) -> [(url: String, field: String)] {
        var found: [(String, String)] = []
        func add(_ value: OrderedJSON?, _ field: String) {
            if let url = value?.string, isOne(url) { found.append((url, field)) }
        }
        guard case .array(let messages)? = request.value("messages") else { return [] }
        for (number, message) in messages.enumerated() {
            guard case .array(let parts)? = message["content"] else { continue }
            for (index, part) in parts.enumerated() {
                let path = "messages[\(number)].content[\(index)]"
                add(part["image_url"]?["url"], "\(path).image_url.url")
                guard case .array(let frames)? = part["video"] else { continue }
                for (frame, url) in frames.enumerated() { add(url, "\(path).video[\(frame)]") }
            }
        }
        return found
    }
}
