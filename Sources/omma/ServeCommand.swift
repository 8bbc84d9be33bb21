import ArgumentParser
import CAllocator
import Fetching
import Foundation
import Server
import Serving
import Terminal

/// `omma serve`: the OpenAI-compatible server and its web page.
struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "Answer over HTTP, as OpenAI's API does.",
        discussion: """
            Serves /v1/chat/completions, /v1/completions, /v1/models, /tokenize, /detokenize, /health, /ready, \
            /metrics and /openapi.json. SIGTERM and Ctrl-C let answers end; a second one does not wait.
            """)

    @OptionGroup var model: ModelOptions
    @Option(help: "The address to listen at; other than this machine's own needs keys.") var host = "127.0.0.1"
    @Option(help: "The port; 0 takes a free one.") var port = 8080
    @Option(
        help: ArgumentHelp("Keys of which clients must send one: a line each.", valueName: "file"),
        completion: .file()) var apiKeyFile: String?
    @Flag(help: "Opens the page in the browser.") var open = false
    @Flag(help: "Lets anyone in who reaches --host.") var withoutKeys = false
    @Option(help: ArgumentHelp("The model's name; without it that of its folder.", valueName: "name"))
    var name: String?
    @Option(help: ArgumentHelp("Answers that are decoded together, up to 16.", valueName: "n")) var maxBatch = 8
    @Option(help: ArgumentHelp("Requests that wait; further ones get 429.", valueName: "n")) var maxQueue = 32
    @Option(help: ArgumentHelp("Memory for requests, in MiB.", valueName: "n")) var maxMemory = 2048
    @Option(help: ArgumentHelp("Pictures and frames of a request.", valueName: "n")) var maxPictures = 16
    @Flag(
        name: .customLong("allow-picture-urls"),
        help: "Fetches pictures that requests name by http or https addresses of the open internet.")
    var allowPictureURLs = false
    @Option(
        help: ArgumentHelp("The only host that pictures are fetched from; may come again.", valueName: "host"))
    var pictureHost: [String] = []
    @Option(
        help: ArgumentHelp("A host of a private network that pictures may be fetched from.", valueName: "host"))
    var privatePictureHost: [String] = []
    @Option(help: ArgumentHelp("Tokens of an answer, unless a request says more.", valueName: "n"))
    var maxTokens = 1024
    @Option(help: ArgumentHelp("Seconds that a request may take.", valueName: "s")) var timeout = 300
    @Option(help: ArgumentHelp("Seconds that answers get to end when the server is told to.", valueName: "s"))
    var grace = 30

    func validate() throws {
        for (name, value, range) in [
            ("port", port, 0...65535), ("max-batch", maxBatch, 1...16), ("max-queue", maxQueue, 0...100_000),
            ("max-memory", maxMemory, 16...(1 << 24)), ("max-pictures", maxPictures, 0...4096),
            ("max-tokens", maxTokens, 1...1_000_000), ("timeout", timeout, 1...86400), ("grace", grace, 0...3600),
        ] where !range.contains(value) {
            throw ValidationError(
                "--\(name) is \(value); it must be from \(range.lowerBound) to \(range.upperBound)")
        }
        if !allowPictureURLs, !(pictureHost + privatePictureHost).isEmpty {
            throw ValidationError("--picture-host and --private-picture-host need --allow-picture-urls")
        }
        if !options.isLoopback, apiKeyFile == nil, !withoutKeys {
            throw ValidationError(
                "--host \(host) lets others in; give --api-key-file, or --without-keys if that is meant")
        }
    }

    private var options: ServerOptions {
        var options = ServerOptions(modelName: name ?? "")
        options.host = host
        options.port = port
        options.maxBatch = maxBatch
        options.maxQueue = maxQueue
        options.maxRequestBytes = maxMemory << 20
        options.prompt.maxPictures = maxPictures
        if allowPictureURLs {
            options.pictureAddresses = FetchRules(
                hosts: pictureHost.isEmpty ? nil : Set(pictureHost + privatePictureHost),
                privateHosts: Set(privatePictureHost))
        }
        options.defaultMaxTokens = maxTokens
        options.deadlineSeconds = timeout
        options.graceSeconds = grace
        return options
    }

    func run() async throws {
        var options = options
        if let apiKeyFile { options.keys = try ServerOptions.keys(contentsOf: Paths.expanded(apiKeyFile)) }
        if name == nil { options.modelName = try model.name() }
        let engine = try await BatchEngine.start(BatchOptions(maxBatch: maxBatch)) { [model] in try model.load() }
        omma_allocator_return_memory()
        let facts = engine.facts, address = host.contains(":") ? "[\(host)]" : host, name = options.modelName
        let opens = open
        let server = OmmaServer(options, engine: engine, generation: engine.generation) { port in
            let url = "http://\(address):\(port)"
            TerminalOutput.standardOutput.line(
                "\(name), \(Format.count(facts.parameters)) parameters, on \(facts.device): \(url)")
            if opens { Self.show(url) }
        }
        try await server.runUntilSignalled()
    }

    /// Shows a page in the person's browser; a machine without one has lost nothing, the address was printed.
    private static func show(_ url: String) {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        #if os(macOS)
            process.arguments = ["open", url]
        #else
            process.arguments = ["xdg-open", url]
        #endif
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try? process.run()
    }
}
