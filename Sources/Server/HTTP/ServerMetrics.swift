internal import Foundation
internal import Serving
internal import Synchronization

/// What the server counts, as Prometheus reads it.
final class ServerMetrics: Sendable {
    private struct Histogram {
        static let bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300]
        var counts = [Int](repeating: 0, count: bounds.count + 1)
        var sum = 0.0

        mutating func add(_ value: Double) {
            counts[Self.bounds.firstIndex { value <= $0 } ?? Self.bounds.count] += 1
            sum += value
        }

        func text(_ name: String, _ help: String) -> String {
            var text = "# HELP \(name) \(help)\n# TYPE \(name) histogram\n", total = 0
            for (bound, count) in zip(Self.bounds.map { "\($0)" } + ["+Inf"], counts) {
                total += count
                text += "\(name)_bucket{le=\"\(bound)\"} \(total)\n"
            }
            return text + "\(name)_sum \(sum)\n\(name)_count \(total)\n"
        }
    }

    private struct State {
        var requests: [String: Int] = [:]
        var firstToken = Histogram()
        var request = Histogram()
        var betweenTokens = Histogram()
        var waiting = Histogram()
    }

    private let state = Mutex(State())

    func count(route: String, status: Int, seconds: Double) {
        state.withLock {
            $0.requests["route=\"\(route)\",status=\"\(status)\"", default: 0] += 1
            if route.hasPrefix("/v1/") { $0.request.add(seconds) }
        }
    }

    func count(_ summary: AnswerSummary) {
        state.withLock {
            $0.waiting.add(summary.secondsWaiting)
            if summary.completionTokens > 0 { $0.firstToken.add(summary.secondsToFirstToken) }
            if summary.completionTokens > 1 {
                $0.betweenTokens.add(summary.decodeSeconds / Double(summary.completionTokens - 1))
            }
        }
    }

    func text(_ engine: EngineStatistics, _ admission: Admission) -> String {
        var text = ""
        func add(_ name: String, _ kind: String, _ help: String, _ value: some CustomStringConvertible) {
            text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind)\n\(name) \(value)\n"
        }
        add("omma_requests_here", "gauge", "Requests that are being received, waiting or answered.", admission.count)
        add("omma_answers_waiting", "gauge", "Answers that wait for a place in the batch.", engine.waiting)
        add("omma_answers_running", "gauge", "Answers that are read or decoded now.", engine.running)
        add("omma_answers_finished_total", "counter", "Answers that ended by themselves.", engine.finished)
        add("omma_answers_cancelled_total", "counter", "Answers whose client left.", engine.cancelled)
        add("omma_answers_failed_total", "counter", "Answers that failed or ran out of time.", engine.failed)
        add("omma_prompt_tokens_total", "counter", "Tokens read.", engine.promptTokens)
        add("omma_completion_tokens_total", "counter", "Tokens written.", engine.completionTokens)
        add("omma_decode_steps_total", "counter", "Passes that brought a token to each answer.", engine.decodeSteps)
        add("omma_model_seconds_total", "counter", "Seconds spent in the model.", engine.modelSeconds)
        add("omma_busy_seconds_total", "counter", "Seconds in which the engine had work.", engine.busySeconds)
        add("omma_cache_bytes", "gauge", "Bytes of keys and values held.", engine.cacheBytes)
        add("omma_reserved_bytes", "gauge", "Bytes that requests have reserved.", admission.bytes)
        if let bytes = Self.residentBytes() {
            add("process_resident_memory_bytes", "gauge", "Memory of the process.", bytes)
        }
        let state = state.withLock { $0 }
        text += "# HELP omma_http_requests_total Responses by route and status.\n"
        text += "# TYPE omma_http_requests_total counter\n"
        for (labels, count) in state.requests.sorted(by: { $0.key < $1.key }) {
            text += "omma_http_requests_total{\(labels)} \(count)\n"
        }
        text += state.waiting.text("omma_queue_seconds", "Time in the queue.")
        text += state.firstToken.text("omma_first_token_seconds", "Time to the first token.")
        text += state.betweenTokens.text("omma_between_tokens_seconds", "Mean time between tokens of an answer.")
        text += state.request.text("omma_request_seconds", "Time of requests under /v1, to the head of the response.")
        return text
    }

    private static func residentBytes() -> Int? {
        guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return nil }
        let fields = text.split(separator: " ")
        guard fields.count > 1, let pages = Int(fields[1]) else { return nil }
        return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
    }
}
