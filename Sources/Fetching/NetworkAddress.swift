/// An IP address, as a connection goes to it.
struct NetworkAddress: Hashable, Sendable {
    /// 4 or 16 bytes, in network order.
    let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// Whether the address belongs to a machine of the open internet: none of this machine, of a private network, of a
    /// link, of a provider's inside, of a tunnel that may lead there, or reserved (IANA's registries of special-purpose
    /// addresses, RFC 6890 and later).
    var isPublic: Bool {
        switch bytes.count {
        case 4: Self.isPublicFour(bytes)
        // IPv4 in IPv6's clothes is IPv4.
        case 16 where bytes.starts(with: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]): Self.isPublicFour(bytes.suffix(4))
        case 16: Self.isPublicSix(bytes)
        default: false
        }
    }

    private static func isPublicFour(_ bytes: some Collection<UInt8>) -> Bool {
        let value = bytes.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        return !specialFour.contains { value >> (32 - $0.bits) == $0.network >> (32 - $0.bits) }
    }

    private static let specialFour: [(network: UInt32, bits: UInt32)] = [
        (0x0000_0000, 8), (0x0A00_0000, 8), (0x6440_0000, 10), (0x7F00_0000, 8), (0xA9FE_0000, 16), (0xAC10_0000, 12),
        (0xC000_0000, 24), (0xC000_0200, 24), (0xC058_6300, 24), (0xC0A8_0000, 16), (0xC612_0000, 15),
        (0xC633_6400, 24), (0xCB00_7100, 24), (0xE000_0000, 4), (0xF000_0000, 4),
    ]

    private static func isPublicSix(_ bytes: [UInt8]) -> Bool {
        // Only 2000::/3 is handed out, and of it not 2001::/23 (Teredo and protocols), 2001:db8::/32 (documentation),
        // 2002::/16 (6to4, which holds an IPv4 address) and 3fff::/20 (documentation).
        guard bytes[0] >> 5 == 1 else { return false }
        if bytes[0] == 0x20, bytes[1] == 0x02 { return false }
        if bytes[0] == 0x20, bytes[1] == 0x01 {
            return bytes[2] >= 0x02 && !(bytes[2] == 0x0D && bytes[3] == 0xB8)
        }
        return !(bytes[0] == 0x3F && bytes[1] == 0xFF && bytes[2] < 0x10)
    }
}
