internal import Foundation
internal import Hummingbird
internal import HummingbirdCore
public import Logging
public import Models
internal import NIOCore
public import ServiceLifecycle
public import Serving
internal import Synchronization
internal import UnixSignals

/// An OpenAI-compatible server in front of an engine.
public struct OmmaServer: Service {
    private let options: ServerOptions
    private let engine: any ServingEngine
    private let handlers: Handlers
    private let logger: Logger
    private let onRunning: @Sendable (Int) -> Void

    /// - Parameter onRunning: called with the port once connections are accepted.
    public init(
        _ options: ServerOptions, engine: any ServingEngine, generation: GenerationDefaults,
        logger: Logger = Logger(label: "omma"), onRunning: @escaping @Sendable (Int) -> Void = { _ in }
    ) {
        self.options = options
        self.engine = engine
        self.logger = logger
        self.onRunning = onRunning
        let admission = Admission(
            maxRequests: options.maxBatch + options.maxQueue, maxBytes: options.maxRequestBytes)
        handlers = Handlers(
            options: options, engine: engine, generation: generation, admission: admission, logger: logger)
    }

    /// Serves until it is told to end gracefully: then it refuses new requests, waits for the answers that are on their
    /// way as long as `graceSeconds`, ends the rest with an error, and stops listening.
    public func run() async throws {
        var logger = logger
        logger.logLevel = max(logger.logLevel, .warning)
        let application = Application(
            responder: Responder(handlers),
            configuration: ApplicationConfiguration(
                address: .hostname(options.host, port: options.port), serverName: "omma",
                availableConnectionsDelegate: MaximumAvailableConnections(options.maxConnections)),
            onServerRunning: { [onRunning] channel in onRunning(channel.localAddress?.port ?? 0) },
            logger: logger)
        let drain = Drain(admission: handlers.admission, engine: engine, graceSeconds: options.graceSeconds)
        // Services end in the opposite order: first the requests, then the listening.
        do {
            try await ServiceGroup(
                configuration: ServiceGroupConfiguration(services: [application, drain], logger: logger)
            ).run()
        } catch let error as IOError {
            throw ServerError.cannotListen(
                host: options.host, port: options.port, reason: String(cString: strerror(error.errnoCode)))
        }
    }

    /// Serves until SIGTERM or SIGINT ask for a graceful end; a second one ends the process at once.
    public func runUntilSignalled() async throws {
        let seconds = options.graceSeconds
        let sources = [SIGTERM, SIGINT].map { signal in
            let source = DispatchSource.makeSignalSource(signal: signal, queue: .global())
            let count = Mutex(0)
            source.setEventHandler {
                let isFirst = count.withLock { count in
                    count += 1
                    return count == 1
                }
                if !isFirst { _exit(1) }
            }
            source.resume()
            return source
        }
        defer { sources.forEach { $0.cancel() } }
        var logger = logger
        logger.logLevel = max(logger.logLevel, .warning)
        var configuration = ServiceGroupConfiguration(
            services: [self], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        // Connections that do not end by themselves are not waited for any longer.
        configuration.maximumGracefulShutdownDuration = .seconds(seconds + 5)
        try await ServiceGroup(configuration: configuration).run()
    }
}

/// Why a server does not serve.
public enum ServerError: Error, Sendable, Hashable, CustomStringConvertible {
    case cannotListen(host: String, port: Int, reason: String)
    case keys(file: String, reason: String)

    public var description: String {
        switch self {
        case .cannotListen(let host, let port, let reason):
            "cannot listen at \(host):\(port): \(reason.lowercased()); choose another --host or --port"
        case .keys(let file, let reason): "\(file) \(reason)"
        }
    }
}

/// Lets the answers that are on their way end.
private struct Drain: Service {
    let admission: Admission
    let engine: any ServingEngine
    let graceSeconds: Int

    func run() async throws {
        try? await gracefulShutdown()
        admission.close()
        let end = ContinuousClock.now + .seconds(graceSeconds)
        while admission.count > 0, .now < end { try? await Task.sleep(for: .milliseconds(20)) }
        engine.shutdown()
        // What is left is being told; that takes no time unless a client does not read.
        let last = ContinuousClock.now + .seconds(1)
        while admission.count > 0, .now < last { try? await Task.sleep(for: .milliseconds(20)) }
    }
}
