import Fetching
import Foundation
import Media
import ModelTestSupport
import Server
import Serving
import Testing

/// Pictures that requests name by address.
@Suite(.serialized) struct PictureAddressTests {
    private static func request(_ urls: [String]) -> [String: Any] {
        let parts = urls.map { ["type": "image_url", "image_url": ["url": $0]] as [String: Any] }
        return [
            "messages": [["role": "user", "content": parts + [["type": "text", "text": "What is it?"]]]],
            "temperature": 0, "max_completion_tokens": 6,
        ]
    }

    /// Answers with a picture, and misbehaves in as many ways as it has paths.
    private static func misbehaving(_ picture: [UInt8], canary: Int) throws -> TestListener {
        try TestListener { path, client in
            let type = "Content-Type: image/png"
            switch path {
            case "/picture.png": client.send(headers: [type], body: picture)
            case "/untyped": client.send(body: picture)
            case "/once": client.send(status: 302, headers: ["Location: /picture.png"])
            case "/to-loopback": client.send(status: 302, headers: ["Location: http://127.0.0.1:\(canary)/"])
            case "/to-six": client.send(status: 307, headers: ["Location: http://[::1]:\(canary)/"])
            case "/to-decimal": client.send(status: 301, headers: ["Location: http://2130706433:\(canary)/"])
            case "/to-file": client.send(status: 302, headers: ["Location: file:///etc/passwd"])
            case "/to-gopher": client.send(status: 302, headers: ["Location: gopher://127.0.0.1:\(canary)/_x"])
            case "/to-user": client.send(status: 308, headers: ["Location: http://localhost@127.0.0.1:\(canary)/"])
            case "/to-nowhere": client.send(status: 302)
            case "/chain": client.send(status: 302, headers: ["Location: /to-loopback"])
            case "/loop": client.send(status: 302, headers: ["Location: /loop"])
            case "/slow-body":
                client.send(headers: [type], length: picture.count)
                for byte in picture where client.send([byte]) { Thread.sleep(forTimeInterval: 0.2) }
            case "/slow-head":
                for byte in Array("HTTP/1.1 200 OK".utf8) where client.send([byte]) {
                    Thread.sleep(forTimeInterval: 0.2)
                }
            case "/silent": Thread.sleep(forTimeInterval: 5)
            case "/endless":
                client.send(Array("HTTP/1.1 200 OK\r\n\(type)\r\n\r\n".utf8))
                while client.send([UInt8](repeating: 7, count: 1 << 16)) {}
            case "/huge": client.send(headers: [type], body: picture, length: 1 << 40)
            case "/lies-long": client.send(headers: [type], body: picture, length: picture.count + 100)
            case "/lies-short": client.send(headers: [type], body: picture, length: picture.count / 2)
            case "/negative": client.send(headers: [type], body: picture, length: -5)
            case "/gzip":
                // 20 bytes that unpack to more, if somebody unpacks them.
                let packed: [UInt8] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3, 0x4B, 0x4C, 0x1C, 5, 0xA3, 0x60, 0x14, 0x8C]
                client.send(headers: [type, "Content-Encoding: gzip"], body: packed)
            case "/page.jpg": client.send(headers: ["Content-Type: text/html"], body: Array("<html>".utf8))
            case "/page-as.jpg": client.send(headers: ["Content-Type: image/jpeg"], body: Array("<html>".utf8))
            case "/json": client.send(headers: ["Content-Type: application/json"], body: picture)
            case "/empty": client.send(headers: [type])
            case "/none": client.send(status: 204)
            case "/missing": client.send(status: 404)
            case "/broken": client.send(status: 500)
            case "/noise": client.send((0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 37) })
            case "/many-headers":
                client.send(
                    headers: (0..<20_000).map { "X-\($0): \(String(repeating: "x", count: 100))" }, body: picture)
            default: break
            }
        }
    }

    /// Addresses that lead to this machine, to private networks, to other protocols, or mislead who reads them.
    private static func hostile(_ port: Int) -> [String] {
        let hosts = [
            "127.0.0.1", "127.1", "0", "0.0.0.0", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1",
            "017700000001", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
            "[64:ff9b::7f00:1]", "localhost", "LOCALHOST", "localhost.", "ip6-localhost",
            ProcessInfo.processInfo.hostName,
            "user@127.0.0.1", "example.com@127.0.0.1", "example.com:80@127.0.0.1", "example.com\\@127.0.0.1",
            "127.0.0.1%00.example.com", "127.0.0.1%2f.example.com", "①②⑦.⓪.⓪.①", "l\u{043E}calhost",
            "xn--lcalhost-55g", "example.com#@127.0.0.1", "127.0.0.1\t", "",
        ]
        return hosts.map { "http://\($0):\(port)/" } + [
            "https://127.0.0.1:\(port)/", "HTTP://127.0.0.1:\(port)/", "http:/127.0.0.1:\(port)/",
            "http:127.0.0.1:\(port)/", "//127.0.0.1:\(port)/", " http://127.0.0.1:\(port)/",
            "http://127.0.0.1:\(port)/\r\nHost: example.com", "http://127.0.0.1:22/", "http://127.0.0.1:99999/",
            "http://127.0.0.1:-1/", "http://169.254.169.254/latest/meta-data/",
            "http://[::ffff:169.254.169.254]/latest/meta-data/", "http://[fd00:ec2::254]/",
            "http://metadata.google.internal/computeMetadata/v1/", "http://100.100.100.200/latest/meta-data/",
            "http://10.0.0.1/", "http://192.168.0.1/", "http://172.16.0.1/", "file:///etc/passwd",
            "file://localhost/etc/passwd", "ftp://127.0.0.1:\(port)/", "gopher://127.0.0.1:\(port)/_x",
            "dict://127.0.0.1:\(port)/d", "ldap://127.0.0.1:\(port)/", "jar:http://127.0.0.1:\(port)/!/",
            "data:text/html,<b>", "data:image/png,abc", "http://" + String(repeating: "a", count: 3000) + ".example/",
            "http://127.0.0.1:\(port)/" + String(repeating: "a", count: 3000),
        ]
    }

    private static let tricks = [
        "/to-loopback", "/to-six", "/to-decimal", "/to-file", "/to-gopher", "/to-user", "/to-nowhere", "/chain",
        "/loop",
        "/slow-body", "/slow-head", "/silent", "/endless", "/huge", "/lies-long", "/lies-short", "/negative", "/gzip",
        "/page.jpg", "/page-as.jpg", "/json", "/empty", "/none", "/missing", "/broken", "/noise", "/many-headers",
    ]

    /// U1: whatever an address is, no connection goes where it must not, and every answer is an error in words.
    @Test func hostileAddressesLeadNowhere() async throws {
        let canary = try TestListener(listensToSix: true)
        let picture = try Image.noise(width: 60, height: 44, seed: 9).pngData()
        let other = try Self.misbehaving(picture, canary: canary.port)
        var rules = FetchRules(privateHosts: ["localhost"])
        rules.seconds = 1.5
        let (open, strict) = (rules, FetchRules())
        let server = try await TestServer { $0.pictureAddresses = strict }
        let generous = try await TestServer {
            $0.pictureAddresses = open
            $0.prompt.maxPictureBytes = 4 << 20
        }
        let golden = try await server.chat(TestServer.question("Hi")).content()
        var refused = 0
        func check(_ server: TestServer, _ url: String) async throws {
            let response = try await server.chat(Self.request([url]))
            let message = response.errorMessage
            #expect((400..<500).contains(response.status) && message?.isEmpty == false, "\(response.text) for \(url)")
            // Nothing about our network, our files, or the addresses that names have.
            #expect(message?.contains("127.0.0.1") != true && message?.contains("/etc") != true, "\(message ?? "")")
            refused += 1
        }
        for url in Self.hostile(canary.port) { try await check(server, url) }
        // The same with a host that may be private: that host, and no other.
        for url in Self.hostile(canary.port) where !url.lowercased().contains("://localhost") {
            try await check(generous, url)
        }
        for path in Self.tricks { try await check(generous, "http://localhost:\(other.port)\(path)") }
        // One bad address among good ones spoils the request, and no other request.
        let good = "http://localhost:\(other.port)/picture.png"
        let mixed = try await generous.chat(Self.request([good, "http://127.0.0.1:\(canary.port)/"]))
        #expect(mixed.status == 400 && mixed.errorMessage?.contains("content[1]") == true, "\(mixed.text)")
        print("U1: \(refused) hostile addresses, \(refused) refusals, \(canary.connections) connections to the canary")
        #expect(refused >= 100 && canary.connections == 0)
        // It would have heard: a host that may be private leads there.
        _ = try await generous.chat(Self.request(["http://localhost:\(canary.port)/"]))
        #expect(canary.connections > 0)
        for server in [server, generous] {
            #expect(try await server.chat(TestServer.question("Hi")).content() == golden)
            #expect(try await server.get("/metrics").text.contains("omma_requests_here 0\n"))
            try await server.stop()
        }
    }

    /// A picture is the same wherever it comes from.
    @Test func fetchedPicturesAreThoseOfDataURLs() async throws {
        let picture = try Image.noise(width: 60, height: 44, seed: 9).pngData()
        let other = try Self.misbehaving(picture, canary: 1)
        let address = "http://localhost:\(other.port)"
        let server = try await TestServer { $0.pictureAddresses = FetchRules(privateHosts: ["localhost"]) }
        let expected = try await server.chat(Self.request([TestServer.dataURL(picture)]))
        #expect(expected.status == 200)
        for path in ["/picture.png", "/untyped", "/once"] {
            let response = try await server.chat(Self.request([address + path]))
            #expect(response.status == 200 && response.content() == expected.content(), "\(path) \(response.text)")
        }
        let before = other.connections
        let urls = [String](repeating: address + "/picture.png", count: 3) + [TestServer.dataURL(picture)]
        let several = try await server.post("/tokenize", ["messages": Self.request(urls)["messages"] ?? []])
        #expect((several.json()["images"] as? [Any])?.count == 4, "\(several.text)")
        // The same address is asked once.
        #expect(other.connections == before + 1)
        try await server.stop()

        // Off unless switched on, and to the hosts that were named only.
        let closed = try await TestServer()
        let named = try await TestServer {
            $0.pictureAddresses = FetchRules(hosts: ["pictures.example"], privateHosts: ["localhost"])
        }
        for server in [closed, named] {
            let response = try await server.chat(Self.request([address + "/picture.png"]))
            #expect(response.status == 400 && response.errorMessage != nil, "\(response.text)")
            try await server.stop()
        }
        #expect(other.connections == before + 1)
    }
}
