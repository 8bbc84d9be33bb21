/// What a fuzzer calls: reads `bytes` as a file and, where it is accepted, demands that what is written from it reads
/// back the same. A trap is a finding; being refused is not.
///
/// - Returns: whether the file was accepted.
@discardableResult
public func fuzzSafetensors(_ bytes: UnsafeRawBufferPointer) -> Bool {
    let header: SafetensorsHeader
    do {
        header = try SafetensorsHeader(file: bytes, named: "fuzz")
    } catch {
        precondition(error is SafetensorsError, "an untyped error: \(error)")
        return false
    }
    do {
        let again = try rewritten(header, bytes)
        let copy = try again.withUnsafeBytes { try SafetensorsHeader(file: $0, named: "again") }
        precondition(copy.metadata == header.metadata && copy.entries.count == header.entries.count)
        again.withUnsafeBytes { other in
            for (name, entry) in header.entries {
                guard let twin = copy.entries[name] else { preconditionFailure("lost \(name)") }
                precondition(twin.dtype == entry.dtype && twin.shape == entry.shape)
                precondition(bytes[entry.byteRange].elementsEqual(other[twin.byteRange]))
            }
        }
    } catch {
        preconditionFailure("accepted, and yet not written again: \(error)")
    }
    return true
}

private func rewritten(_ header: SafetensorsHeader, _ bytes: UnsafeRawBufferPointer) throws -> [UInt8] {
    let sources = header.entries.map { name, entry in
        TensorSource(name: name, dtype: entry.dtype, shape: entry.shape, bytes: Array(bytes[entry.byteRange]))
    }
    let ordered = try SafetensorsWriter.order(sources, file: "again")
    var result = try HeaderEncoder.encode(ordered.map { ($0.source, $0.byteCount) }, header.metadata, file: "again")
    for (source, _) in ordered { try source.provide { result.append(contentsOf: $0) } }
    return result
}
