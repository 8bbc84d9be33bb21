import Foundation
import TestSupport
import Testing

/// `omma train` and `omma report` as processes: signals, full disks, other places of the world (T4, T5, T9).
@Suite(.serialized) struct TrainTests {
    private func recipe(_ folder: TemporaryFolder, _ name: String = "run", steps: Int = 6) throws -> String {
        let text = """
            name: \(name)
            model: {random: \(Program.model)}
            precision: f32
            output: \(folder.path(name))
            held_out: {samples: 2, data: [{synthetic: {split: held-out, sides: [112, 140], tasks: {color: 1}}}]}
            stages:
              - name: only
                train: all
                steps: \(steps)
                learning_rate: 1.0e-3
                log_every: 1
                evaluate_every: 3
                checkpoint_every: 3
                batch: {tokens: 600, max_samples: 2, look_ahead: 4}
                data:
                  - synthetic: {seed: 1, sides: [112, 140], difficulty: 0, tasks: {color: 1}}
            """
        return try folder.write("\(name).yaml", Data(text.utf8))
    }

    private func lines(_ folder: TemporaryFolder, _ name: String = "run") -> [[String: Any]] {
        let text = (try? String(contentsOfFile: folder.path("\(name)/log.jsonl"), encoding: .utf8)) ?? ""
        return text.split(separator: "\n").compactMap {
            try? JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]
        }
    }

    private func steps(_ folder: TemporaryFolder, _ name: String = "run") -> [Int] {
        lines(folder, name).filter { $0["event"] as? String == "step" }.compactMap { $0["step"] as? Int }
    }

    @Test func sigtermStopsWithinAStep() throws {
        let folder = try TemporaryFolder()
        let (process, _, output, errors) = Program.process(
            ["train", try recipe(folder, steps: 100_000), "--threads", "1", "--set", "stages.only.evaluate_every=0"])
        try process.run()
        let deadline = Date(timeIntervalSinceNow: 120)
        while steps(folder).count < 3, Date.now < deadline { Thread.sleep(forTimeInterval: 0.02) }
        process.terminate()
        let before = steps(folder).last ?? 0
        let said = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        _ = try errors.fileHandleForReading.readToEnd()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        #expect(said.contains("stopped by SIGTERM") && said.contains("go on with --resume"))
        let after = try #require(steps(folder).last)
        // The step that was under way, and one that may have ended as the log was read.
        #expect(after - before <= 2)
        let latest = try String(contentsOfFile: folder.path("run/latest"), encoding: .utf8)
        #expect(Int(latest.trimmingCharacters(in: .newlines).dropFirst(5)) == after)
        print("T4: SIGTERM at step \(before), saved at step \(after), status 0")
    }

    @Test func aSecondInterruptEndsAtOnce() throws {
        let folder = try TemporaryFolder()
        // A step of many micro-batches, so that the first signal is still being waited on.
        let (process, _, output, errors) = Program.process(
            [
                "train", try recipe(folder, steps: 100_000), "--threads", "1", "--set",
                "stages.only.batch={tokens: 600, max_samples: 2, accumulation: 4000, look_ahead: 4}",
                "--set", "stages.only.evaluate_every=0",
            ])
        try process.run()
        let deadline = Date(timeIntervalSinceNow: 120)
        while !lines(folder).contains(where: { $0["event"] as? String == "stage" }), Date.now < deadline {
            Thread.sleep(forTimeInterval: 0.02)
        }
        kill(process.processIdentifier, SIGINT)
        Thread.sleep(forTimeInterval: 0.5)
        #expect(process.isRunning)
        let clock = ContinuousClock.now
        kill(process.processIdentifier, SIGINT)
        _ = try errors.fileHandleForReading.readToEnd()
        _ = try output.fileHandleForReading.readToEnd()
        process.waitUntilExit()
        #expect(process.terminationStatus == 130)
        #expect(ContinuousClock.now - clock < .seconds(3))
        print("T4: the second SIGINT ended the run at once, status 130")
    }

    @Test func tooManyBadRowsEndWithAStatusOfTheirOwn() throws {
        let folder = try TemporaryFolder(), file = try recipe(folder, steps: 200)
        func row(_ picture: String) -> String {
            #"{"messages": [{"role": "user", "content": "<image>What?"}, {"role": "assistant", "content": "red"}], "#
                + #""images": ["\#(picture)"]}"#
        }
        let rows = (0..<40).map { row($0 % 2 == 1 ? "/nowhere/\($0).png" : Program.picture) }
        let data = try folder.write("rows.jsonl", Data(rows.joined(separator: "\n").utf8))
        let outcome = try Program.run(
            "train", file, "--threads", "1", "--set", "stages.only.data=[{jsonl: \(data)}]", "--set",
            "max_skipped_samples=0.2", "--set", "stages.only.evaluate_every=0")
        #expect(outcome.status == 3, "\(outcome.errors)")
        #expect(outcome.errors.contains("max_skipped_samples"), "\(outcome.errors)")
        #expect(outcome.errors.contains("/nowhere/"), "\(outcome.errors)")
        print("T3: every second row without its picture, 20 % allowed: status \(outcome.status)")
    }

    #if os(Linux)
        @Test func aFullDiskForTheLogIsSaidOnce() throws {
            let folder = try TemporaryFolder(), file = try recipe(folder)
            try FileManager.default.createDirectory(atPath: folder.path("run"), withIntermediateDirectories: true)
            // The device that is always full.
            try FileManager.default.createSymbolicLink(
                atPath: folder.path("run/log.jsonl"), withDestinationPath: "/dev/full")
            let outcome = try Program.run("train", file, "--threads", "1")
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.output.contains("finished"))
            #expect(outcome.errors.components(separatedBy: "warning:").count == 2, "\(outcome.errors)")
            print("T5: /dev/full for log.jsonl: status 0, 1 warning")
        }

        @Test func placesAndClocksChangeNothing() throws {
            let folder = try TemporaryFolder()
            let straight = try recipe(folder, "straight"), moved = try recipe(folder, "moved")
            let whole = try Program.run("train", straight, "--threads", "1")
            #expect(whole.status == 0, "\(whole.errors)")
            // Five years back from one part of the run to the next, and other words for numbers and months.
            let clock = try backwardsClock(folder)
            let places = [
                ["LC_ALL": "de_DE.UTF-8", "TZ": "Asia/Kathmandu"],
                ["LC_ALL": "ar_EG.UTF-8", "LANG": "tr_TR.UTF-8", "TZ": "America/St_Johns", "LD_PRELOAD": clock],
            ]
            let (process, _, output, errors) = Program.process(
                ["train", moved, "--threads", "1", "--set", "workers=2"], environment: places[0])
            try process.run()
            while steps(folder, "moved").count < 2, process.isRunning { Thread.sleep(forTimeInterval: 0.01) }
            process.terminate()
            _ = try errors.fileHandleForReading.readToEnd()
            let first = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
            process.waitUntilExit()
            try #require(process.terminationStatus == 0 && first.contains("stopped by"), "\(first)")
            let second = try Program.run("train", moved, "--resume", "--threads", "1", environment: places[1])
            #expect(second.status == 0, "\(second.errors)")
            func losses(_ name: String) -> [Int: String] {
                var found: [Int: String] = [:]
                for line in lines(folder, name) where line["event"] as? String == "step" {
                    if let step = line["step"] as? Int {
                        found[step] = "\(line["loss"] ?? "") \(line["learningRate"] ?? "")"
                    }
                }
                return found
            }
            #expect(losses("straight").count == 6 && losses("straight") == losses("moved"))
            for file in ["model.safetensors", "training/optimizer.safetensors"] {
                #expect(
                    try Data(contentsOf: folder.url.appending(path: "straight/step-000006/\(file)"))
                        == Data(contentsOf: folder.url.appending(path: "moved/step-000006/\(file)")))
            }
            // The clock was another, and the log is in one order and in numbers that every reader knows all the same.
            let times = lines(folder, "moved").compactMap { ($0["run"] as? [String: Any])?["time"] as? Double }
            #expect(times.count == 2 && times[1] < times[0] - 1e8)
            let report = try Program.run(
                "report", folder.path("straight"), folder.path("moved"), "--out", folder.path("report.html"),
                environment: places[0])
            #expect(report.status == 0 && report.output.contains("2 runs"), "\(report.errors)")
            let page = try String(contentsOfFile: folder.path("report.html"), encoding: .utf8)
            #expect(page.contains("Held-out questions") && page.contains("data:image/png;base64,"))
            print("T9: 2 locales, 2 time zones, a clock five years back: the same 6 losses and weights")
        }

        /// A library that turns the clock back for whoever loads it.
        private func backwardsClock(_ folder: TemporaryFolder) throws -> String {
            let source = """
                #define _GNU_SOURCE
                #include <sys/syscall.h>
                #include <sys/time.h>
                #include <time.h>
                #include <unistd.h>
                static const long back = 5L * 365 * 86400;
                int clock_gettime(clockid_t clock, struct timespec *time) {
                    int result = (int)syscall(SYS_clock_gettime, clock, time);
                    if (result == 0 && clock == CLOCK_REALTIME) time->tv_sec -= back;
                    return result;
                }
                int gettimeofday(struct timeval *restrict value, void *restrict zone) {
                    struct timespec now;
                    clock_gettime(CLOCK_REALTIME, &now);
                    value->tv_sec = now.tv_sec;
                    value->tv_usec = now.tv_nsec / 1000;
                    return 0;
                }
                time_t time(time_t *out) {
                    struct timespec now;
                    clock_gettime(CLOCK_REALTIME, &now);
                    if (out) *out = now.tv_sec;
                    return now.tv_sec;
                }
                """
            return try library(folder, "clock", source)
        }

        /// Compiles a library for `LD_PRELOAD`.
        private func library(_ folder: TemporaryFolder, _ name: String, _ source: String) throws -> String {
            let file = try folder.write("\(name).c", source.utf8), library = folder.path("\(name).so")
            let compiler = Process()
            compiler.executableURL = URL(filePath: "/usr/bin/env")
            compiler.arguments = ["clang", "-shared", "-fPIC", "-O1", "-w", file, "-o", library]
            try compiler.run()
            compiler.waitUntilExit()
            try #require(compiler.terminationStatus == 0, "no clang")
            return library
        }
    #endif

    #if os(Linux)
        @Test func aFileThatHangsIsNamedAndLeftOut() throws {
            let folder = try TemporaryFolder()
            try FileManager.default.copyItem(atPath: Program.picture, toPath: folder.path("good.png"))
            try FileManager.default.copyItem(atPath: Program.picture, toPath: folder.path("dead.png"))
            let rows = (0..<12).map { row in
                let name = row == 5 ? "dead.png" : "good.png"
                return
                    #"{"messages":[{"role":"user","content":"<image>?"},{"role":"assistant","content":"\#(row)"}],"images":["\#(name)"]}"#
            }
            let data = try folder.write("data.jsonl", Data((rows.joined(separator: "\n") + "\n").utf8))
            // As a mount that is gone: whoever opens the file never comes back.
            let source = """
                #define _GNU_SOURCE
                #include <fcntl.h>
                #include <stdarg.h>
                #include <string.h>
                #include <sys/syscall.h>
                #include <unistd.h>
                int open(const char *path, int flags, ...) {
                    va_list list;
                    va_start(list, flags);
                    int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, int) : 0;
                    va_end(list);
                    if (strstr(path, "dead.png")) for (;;) pause();
                    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
                }
                int open64(const char *path, int flags, ...) {
                    va_list list;
                    va_start(list, flags);
                    int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, int) : 0;
                    va_end(list);
                    return open(path, flags, mode);
                }
                """
            let outcome = try Program.run(
                "train", recipe(folder), "--threads", "1", "--set", "stages.only.data=[{jsonl: \(data)}]", "--set",
                "sample_timeout=1", "--set", "max_skipped_samples=0.5",
                environment: ["LD_PRELOAD": library(folder, "hang", source)])
            #expect(outcome.status == 0, "\(outcome.errors)")
            let skipped = lines(folder).filter { $0["event"] as? String == "skipped" }
            #expect(!skipped.isEmpty)
            for line in skipped {
                #expect(line["reason"] as? String == "timedOut" && line["sample"] as? String == "data.jsonl:6")
                #expect((line["text"] as? String)?.contains("dead.png within 1.0 s") == true)
            }
            #expect(steps(folder) == Array(1...6))
            print("T7: 1 of 12 rows lies on a disk that hangs: left out \(skipped.count) times by name, status 0")
        }
    #endif

    @Test func whatMayChangeIsNamed() throws {
        let folder = try TemporaryFolder(), file = try recipe(folder, steps: 2)
        #expect(try Program.run("train", file, "--threads", "1").status == 0)
        let change = ["--set", "stages.only.steps=3", "--threads", "1"]
        func train(_ more: [String]) throws -> Program.Outcome {
            let (process, _, output, errors) = Program.process(["train", file] + change + more)
            try process.run()
            let written = try output.fileHandleForReading.readToEnd() ?? Data()
            let said = try errors.fileHandleForReading.readToEnd() ?? Data()
            process.waitUntilExit()
            return Program.Outcome(
                status: process.terminationStatus, output: String(decoding: written, as: UTF8.self),
                errors: String(decoding: said, as: UTF8.self))
        }
        let refused = try train(["--resume"])
        #expect(refused.status == 1 && refused.errors.contains("+ stages.only.steps: 3"), "\(refused.errors)")
        #expect(refused.errors.contains("--allow-change"))
        let allowed = try train(["--resume", "--allow-change", "stages.only.steps"])
        #expect(allowed.status == 0 && allowed.output.contains("step-000003"), "\(allowed.errors)")
        #expect(try train(["--allow-change", "seed"]).status == 2)
        #expect(try Program.run("report", folder.path("nothing")).errors.contains("has no log.jsonl"))
        #expect(try Program.run("report").status == 2)
    }
}
