internal import CTorch
internal import Foundation

/// Values by key that all processes of a group see: where they find each other, and leave word.
final class ProcessStore: @unchecked Sendable {
    private let handle: OpaquePointer

    /// - Parameter timeout: for reaching the server.
    init(_ place: ProcessPlace, timeout: Duration) throws {
        var error = ct_error()
        let isServer = place.rank == 0 && !place.isStoreElsewhere
        guard
            let handle = ct_store_connect(
                place.host, place.port, isServer, timeout.milliseconds, "omma/\(place.attempt)/", &error)
        else { throw TorchError("store", [], &error) }
        self.handle = handle
    }

    private init(_ handle: OpaquePointer) { self.handle = handle }

    deinit { ct_store_release(handle) }

    /// Another connection, for another thread.
    func clone() throws -> ProcessStore {
        var error = ct_error()
        guard let copy = ct_store_clone(handle, &error) else { throw TorchError("store", [], &error) }
        return ProcessStore(copy)
    }

    /// The same store with `prefix` before all keys.
    func prefixed(_ prefix: String) throws -> ProcessStore {
        var error = ct_error()
        guard let inner = ct_store_prefixed(handle, prefix, &error) else { throw TorchError("store", [], &error) }
        return ProcessStore(inner)
    }

    func set(_ key: String, _ value: String) throws {
        let bytes = Array(value.utf8)
        try run("store", []) { ct_store_set(handle, key, bytes, bytes.count, $0) }
    }

    /// Waits for the key.
    func value(_ key: String, timeout: Duration) throws -> String {
        var bytes: UnsafeMutableRawPointer?
        var count = 0
        try run("store", []) { ct_store_get(handle, key, timeout.milliseconds, &bytes, &count, $0) }
        defer { free(bytes) }
        return String(decoding: UnsafeRawBufferPointer(start: bytes, count: count), as: UTF8.self)
    }

    /// The value if it is there.
    func valueNow(_ key: String) throws -> String? {
        var isThere = false
        try run("store", []) { ct_store_has(handle, key, &isThere, $0) }
        return isThere ? try value(key, timeout: .seconds(5)) : nil
    }

    func add(_ key: String, _ number: Int) throws -> Int {
        var sum: Int64 = 0
        try run("store", []) { ct_store_add(handle, key, Int64(number), &sum, $0) }
        return Int(sum)
    }

    /// For those that make a group over the store.
    func withHandle<Result>(_ body: (OpaquePointer) throws -> Result) rethrows -> Result {
        try withExtendedLifetime(self) { try body(handle) }
    }
}

extension Duration {
    var milliseconds: Int64 { components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000 }
}
