import Foundation
import Hashing
import Synchronization
public import Terminal

/// Writes what TensorBoard shows: scalars, texts and pictures over steps.
///
/// The format is TFRecord (a length and the data, each with a masked CRC-32C: tensorflow/core/lib/io/record_writer.h)
/// around `Event` messages (tensorflow/core/util/event.proto). Every event reaches the system at once; a full disk
/// does not stop the work.
public final class TensorBoardWriter: Sendable {
    private static let files = Mutex(0)
    private let log: RecordLog
    private let clock: @Sendable () -> Double

    /// Begins a new event file in a folder, which is created where it is missing. TensorBoard joins the files of a
    /// folder, so a resumed run goes on in the same one.
    ///
    /// - Parameters:
    ///   - directory: the folder.
    ///   - purgeStep: hides the events of earlier files from this step on: a resumed run writes them again.
    ///   - warn: takes what people should know.
    /// - Throws: `FileSystemError`, and what creating the folder throws.
    public convenience init(
        directory: String, purgeStep: Int? = nil,
        warn: @escaping @Sendable (String) -> Void = { TerminalOutput.standardError.warn($0) }
    ) throws {
        try self.init(directory: directory, purgeStep: purgeStep, warn: warn) { Date().timeIntervalSince1970 }
    }

    init(
        directory: String, purgeStep: Int?, warn: @escaping @Sendable (String) -> Void,
        clock: @escaping @Sendable () -> Double
    ) throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let process = ProcessInfo.processInfo
        let number = Self.files.withLock { count in
            count += 1
            return count
        }
        // TensorBoard reads the files of a folder in the order of their names, and knows them by "tfevents".
        let seconds = String(Int(clock()))
        let padded = String(repeating: "0", count: max(0, 10 - seconds.count)) + seconds
        let host = process.hostName.filter { $0.isLetter || $0.isNumber || $0 == "-" || $0 == "." }
        let name = "events.out.tfevents.\(padded).\(host).\(process.processIdentifier).\(number)"
        log = try RecordLog(path: "\(directory)/\(name)", warn: warn)
        self.clock = clock
        record(step: nil) { $0.string(3, "brain.Event:2") }
        if let purgeStep {
            // SessionLog.START makes readers forget later steps of earlier files.
            record(step: purgeStep) { $0.message(7) { $0.integer(1, 1) } }
        }
    }

    /// The file.
    public var path: String { log.path }
    /// How many events could not be written.
    public var lostEvents: Int { log.lost }

    /// Notes a number at a step, under a tag such as `train/loss`.
    public func scalar(_ tag: String, _ value: Double, step: Int) { scalars([(tag, value)], step: step) }

    /// Notes several numbers at a step, in one event.
    public func scalars(_ values: [(tag: String, value: Double)], step: Int) {
        summary(step: step) { summary in
            for (tag, value) in values {
                summary.message(1) {
                    $0.string(1, tag)
                    $0.float(2, Float(value))
                }
            }
        }
    }

    /// Notes a text, which TensorBoard shows as Markdown.
    public func text(_ tag: String, _ text: String, step: Int) {
        summary(step: step) { summary in
            summary.message(1) { value in
                value.string(1, tag)
                value.message(9) { $0.message(1) { $0.string(1, "text") } }
                value.message(8) { tensor in
                    // DT_STRING, of shape [1]: the text plugin shows a row.
                    tensor.integer(1, 7)
                    tensor.message(2) { $0.message(2) { $0.integer(1, 1) } }
                    tensor.string(8, text)
                }
            }
        }
    }

    /// Notes a picture: the bytes of a PNG file.
    public func image(_ tag: String, png: some Collection<UInt8>, width: Int, height: Int, step: Int) {
        summary(step: step) { summary in
            summary.message(1) { value in
                value.string(1, tag)
                value.message(4) { image in
                    image.integer(1, Int64(height))
                    image.integer(2, Int64(width))
                    // RGB.
                    image.integer(3, 3)
                    image.data(4, png)
                }
            }
        }
    }

    /// Makes what was written outlive a power cut.
    public func sync() { log.sync() }
    /// Ends the writing; later events are dropped.
    public func close() { log.close() }

    private func summary(step: Int, _ build: (inout ProtobufEncoder) -> Void) {
        record(step: step) { $0.message(5, build) }
    }

    private func record(step: Int?, _ build: (inout ProtobufEncoder) -> Void) {
        var event = ProtobufEncoder()
        event.double(1, clock())
        if let step { event.integer(2, Int64(step)) }
        build(&event)
        log.append(Self.frame(event.bytes))
    }

    /// A TFRecord.
    static func frame(_ data: [UInt8]) -> [UInt8] {
        let length = littleEndian(UInt64(data.count))
        return length + littleEndian(masked(length)) + data + littleEndian(masked(data))
    }

    /// The checksum as it is stored: turned and shifted, because a checksum of data that holds its own is weak.
    private static func masked(_ data: [UInt8]) -> UInt32 {
        let checksum = CRC32C.checksum(data)
        return (checksum >> 15 | checksum << 17) &+ 0xA282_EAD8
    }

    private static func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }
}
