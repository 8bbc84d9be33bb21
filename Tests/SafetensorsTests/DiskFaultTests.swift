import Foundation
import Testing
import TestSupport

@testable import Safetensors

@Suite struct DiskFaultTests {
    /// Fails the call of this number with this code, and counts the calls.
    final class Plan: @unchecked Sendable {
        private let lock = NSLock()
        private let failing: Int
        private let code: Int32
        private var calls = 0
        init(failing: Int, code: Int32) { (self.failing, self.code) = (failing, code) }
        func next() -> Int32? {
            lock.withLock {
                calls += 1
                return calls == failing ? code : nil
            }
        }
        var count: Int { lock.withLock { calls } }
    }

    private static func save(_ path: String, _ value: UInt8) throws {
        let tensors = (0..<20).map { index in
            TensorSource(name: "t\(index)", dtype: .u8, shape: [50], bytes: .init(repeating: value, count: 50))
        }
        try SafetensorsWriter.write(path: path, tensors: tensors)
    }

    @Test(arguments: [ENOSPC, EIO, EDQUOT])
    func aFailureAtAnyCallLeavesAWholeFile(code: Int32) throws {
        let folder = try TemporaryFolder()
        let path = folder.path("model.safetensors")
        try Self.save(path, 1)
        var failures = 0
        for call in 1... {
            let plan = Plan(failing: call, code: code)
            let error = FileFaults.$inject.withValue({ _, _ in plan.next() }) { () -> (any Error)? in
                do { try Self.save(path, 2) } catch { return error }
                return nil
            }
            let content = try SafetensorsFile(path: path).copy(of: "t7").first
            #expect(folder.names == ["model.safetensors"], "call \(call)")
            guard let error else {
                #expect(content == 2)
                break
            }
            failures += 1
            let failure = try #require(error as? FileSystemError)
            #expect(failure.code == code && failure.isOutOfSpace == (code != EIO))
            #expect(content == (failure.operation == .syncFolder ? 2 : 1), "call \(call)")
            try Self.save(path, 1)
        }
        // Create, header, 20 tensors, sync, close, rename, open and sync of the folder.
        #expect(failures == 27)
    }

    @Test func aFullDiskIsTypedAndTheOldFileSurvives() async throws {
        // In a process of its own, which may write no file above 64 KiB.
        await #expect(processExitsWith: .success) {
            signal(SIGXFSZ, SIG_IGN)
            let folder = try TemporaryFolder()
            let path = folder.path("model.safetensors")
            try SafetensorsWriter.write(
                path: path, tensors: [.init(name: "w", dtype: .u8, shape: [10], bytes: .init(repeating: 1, count: 10))])
            #if canImport(Darwin)
                let resource = RLIMIT_FSIZE
            #else
                let resource = __rlimit_resource_t(RLIMIT_FSIZE.rawValue)
            #endif
            var limit = rlimit(rlim_cur: 65_536, rlim_max: 65_536)
            setrlimit(resource, &limit)
            let large = TensorSource(
                name: "w", dtype: .u8, shape: [1 << 20], bytes: .init(repeating: 2, count: 1 << 20))
            let error = #expect(throws: FileSystemError.self) {
                try SafetensorsWriter.write(path: path, tensors: [large])
            }
            #expect(error?.isOutOfSpace == true)
            #expect(try SafetensorsFile(path: path).copy(of: "w").elementsEqual([UInt8](repeating: 1, count: 10)))
            #expect(folder.names == ["model.safetensors"])
        }
    }

    @Test func whatTheSystemRefusesIsTyped() throws {
        let folder = try TemporaryFolder()
        let missing = #expect(throws: FileSystemError.self) { try SafetensorsFile(path: folder.path("absent")) }
        #expect(missing?.isMissing == true && missing?.operation == .open)
        let notAFile = #expect(throws: SafetensorsError.self) { try SafetensorsFile(path: folder.path) }
        #expect(notAFile?.reason == .notAFile)
        let pipe = folder.path("pipe")
        #expect(mkfifo(pipe, 0o600) == 0)
        #expect(throws: SafetensorsError.self) { try SafetensorsFile(path: pipe) }
        #expect(throws: FileSystemError.self) { try atomicWrite(folder.path("no/folder"), [1]) }
    }

    @Test func atomicWriteReplacesAndKeepsPermissions() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("x")
        try atomicWrite(path, [1, 2])
        #expect(chmod(path, 0o640) == 0)
        try atomicWrite(path, "hello".utf8)
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "hello")
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o640)
        do {
            let file = try AtomicFile(path: path)
            try file.write([9])
        }
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "hello")
        #expect(folder.names == ["x"])
    }
}
