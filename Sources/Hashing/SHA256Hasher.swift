#if canImport(CryptoKit)
    import CryptoKit
#else
    import CLibCrypto
#endif

/// SHA-256 of bytes that come in pieces, at the speed of the processor's own instructions.
///
/// The work is done by a library that is kept: CryptoKit where the system has it, OpenSSL's libcrypto elsewhere.
/// (swift-crypto would do both, and costs every clean build a minute and a half of compiling.)
public final class SHA256Hasher {
    #if canImport(CryptoKit)
        private var state = CryptoKit.SHA256()

        /// An empty message.
        public init() {}

        /// Appends `bytes` to the message.
        public func update(_ bytes: UnsafeRawBufferPointer) { state.update(bufferPointer: bytes) }

        /// The digest of the message so far, in lower-case hexadecimal digits; more may be appended afterwards.
        public func hexDigest() -> String { hexadecimal(Array(state.finalize())) }
    #else
        private let context: OpaquePointer

        /// An empty message.
        public init() {
            guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else {
                // Only a lack of a few hundred bytes of memory, or a libcrypto configured without SHA-256.
                preconditionFailure("libcrypto has no SHA-256")
            }
            self.context = context
        }

        deinit { EVP_MD_CTX_free(context) }

        /// Appends `bytes` to the message.
        public func update(_ bytes: UnsafeRawBufferPointer) {
            let result = EVP_DigestUpdate(context, bytes.baseAddress, bytes.count)
            precondition(result == 1, "libcrypto failed to digest")
        }

        /// The digest of the message so far, in lower-case hexadecimal digits; more may be appended afterwards.
        public func hexDigest() -> String {
            guard let copy = EVP_MD_CTX_new() else { preconditionFailure("libcrypto failed to allocate") }
            defer { EVP_MD_CTX_free(copy) }
            var digest = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
            var count: UInt32 = 0
            let result =
                EVP_MD_CTX_copy_ex(copy, context) == 1 ? EVP_DigestFinal_ex(copy, &digest, &count) : 0
            precondition(result == 1, "libcrypto failed to digest")
            return hexadecimal(digest.prefix(Int(count)))
        }
    #endif
}

/// The SHA-256 of `bytes` in lower-case hexadecimal digits.
public func sha256(_ bytes: UnsafeRawBufferPointer) -> String {
    let hasher = SHA256Hasher()
    hasher.update(bytes)
    return hasher.hexDigest()
}

/// The SHA-256 of `bytes` in lower-case hexadecimal digits.
public func sha256(_ bytes: some Collection<UInt8>) -> String {
    bytes.withContiguousStorageIfAvailable { sha256(UnsafeRawBufferPointer($0)) }
        ?? Array(bytes).withUnsafeBytes { sha256($0) }
}

private func hexadecimal(_ bytes: some Collection<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}
