extension VerifyReport {
    /// Text that must be the golden's, byte for byte: Swift's own equality overlooks differences in normalisation.
    mutating func addText(_ name: String, expected: String, _ make: () throws -> String) {
        do {
            let found = try make()
            add(name, holds: found.utf8.elementsEqual(expected.utf8), difference(found, expected))
        } catch {
            add(name, holds: false, "\(error)")
        }
    }
}

/// What is said about two texts that should be the same: both from shortly before the first difference on.
func difference(_ found: String, _ expected: String) -> String {
    let left = Array(found.utf8), right = Array(expected.utf8)
    let same = zip(left, right).prefix { $0 == $1 }.count
    func tail(_ bytes: [UInt8]) -> String {
        String(decoding: bytes.dropFirst(max(0, same - 20)).prefix(100), as: UTF8.self).debugDescription
    }
    return "differs from byte \(same) on: \(tail(left)), the golden \(tail(right))"
}
