// swift-tools-version: 6.2
import Foundation
import PackageDescription

// MARK: - libtorch

/// The libtorch to build against: `LIBTORCH`, or the `.libtorch` link that `./setup` leaves in the checkout.
let libtorch: String = {
    if let path = Context.environment["LIBTORCH"], !path.isEmpty { return path }
    let link = Context.packageDirectory + "/.libtorch"
    return (try? FileManager.default.destinationOfSymbolicLink(atPath: link)) ?? link
}()

let torchCompilerFlags: [String] = [
    "-I\(libtorch)/include", "-I\(libtorch)/include/torch/csrc/api/include", "-Wno-everything",
    // An unoptimised shim slows every operation and compiles no faster.
    "-O2",
    // Else C++20 takes CKernels' header, which the package maps to a module, for one that must be built first.
    "-fno-cxx-modules",
]
#if os(macOS)
    let torchLinkerFlags = [
        "-L\(libtorch)/lib", "-ltorch_cpu", "-lc10", "-lc++", "-Xlinker", "-rpath", "-Xlinker", "\(libtorch)/lib",
    ]
#else
    let torchLinkerFlags = [
        "-L\(libtorch)/lib", "-ltorch_cpu", "-lc10", "-lstdc++", "-lm", "-Xlinker", "-rpath", "-Xlinker",
        "\(libtorch)/lib",
    ]
#endif

// MARK: - system libraries

/// The folders in which pkg-config finds a library's headers. Asked for here, because SwiftPM's own `pkgConfig` warns at
/// every build about flags (`-pthread`) that it will not pass on.
func includeFlags(of library: String) -> [String] {
    let process = Process()
    let output = Pipe()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = ["pkg-config", "--cflags-only-I", library]
    process.standardOutput = output
    process.standardError = Pipe()
    guard (try? process.run()) != nil else { return [] }
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return text.split(whereSeparator: \.isWhitespace).map(String.init)
}

// MARK: - settings

let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]
/// For targets whose Swift loops over pixels or characters: optimised in debug builds too, so that tests are quick.
let optimised: [SwiftSetting] = strict + [.unsafeFlags(["-O"], .when(configuration: .debug))]

func test(_ name: String, _ dependencies: [Target.Dependency] = [], resources: [Resource]? = nil) -> Target {
    .testTarget(
        name: name + "Tests", dependencies: [.init(stringLiteral: name), "TestSupport"] + dependencies,
        resources: resources, swiftSettings: strict)
}

let package = Package(
    name: "omma",
    platforms: [.macOS(.v15)],
    products: [.executable(name: "omma", targets: ["omma"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.16.0", traits: []),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.8.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0", traits: []),
        .package(url: "https://github.com/apple/swift-log", from: "1.14.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.100.0"),
    ],
    targets: [
        // Floor 0: the C and C++ boundary.
        .target(
            name: "CTorch", dependencies: ["CKernels"],
            cxxSettings: [.headerSearchPath("gloo_declarations"), .unsafeFlags(torchCompilerFlags)],
            linkerSettings: [.unsafeFlags(torchLinkerFlags)]),
        .target(name: "CKernels", cSettings: [.unsafeFlags(["-O3"])]),
        .systemLibrary(
            name: "CFFmpeg", pkgConfig: "libavformat", providers: [.apt(["libavformat-dev"]), .brew(["ffmpeg"])]),
        .systemLibrary(name: "CLibPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"]), .brew(["libpng"])]),
        .systemLibrary(
            name: "CLibWebP", pkgConfig: "libwebpdemux", providers: [.apt(["libwebp-dev"]), .brew(["webp"])]),
        .systemLibrary(
            name: "CLibJPEG", pkgConfig: "libjpeg", providers: [.apt(["libjpeg62-turbo-dev"]), .brew(["jpeg-turbo"])]),
        .systemLibrary(
            name: "CLibTIFF", pkgConfig: "libtiff-4", providers: [.apt(["libtiff-dev"]), .brew(["libtiff"])]),
        .systemLibrary(name: "CLibGIF", providers: [.apt(["libgif-dev"]), .brew(["giflib"])]),
        .systemLibrary(
            name: "CLibCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"]), .brew(["openssl"])]),
        .systemLibrary(
            name: "CLibCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"]), .brew(["curl"])]),
        .target(name: "CFetch", dependencies: ["CLibCurl"]),
        .target(
            name: "CMedia",
            dependencies: ["CFFmpeg", "CLibPNG", "CLibWebP", "CLibJPEG", "CLibTIFF", "CLibGIF"],
            cSettings: [.unsafeFlags(["-O3"] + includeFlags(of: "pangocairo"))],
            linkerSettings: [
                .linkedLibrary("avcodec"), .linkedLibrary("avutil"), .linkedLibrary("swscale"), .linkedLibrary("gif"),
                .linkedLibrary("pangocairo-1.0"), .linkedLibrary("pango-1.0"), .linkedLibrary("gobject-2.0"),
                .linkedLibrary("glib-2.0"), .linkedLibrary("cairo"), .linkedLibrary("m"),
            ]),

        .systemLibrary(
            name: "CLibSentencePiece", pkgConfig: "sentencepiece",
            providers: [.apt(["libsentencepiece-dev"]), .brew(["sentencepiece"])]),
        .target(name: "CSentencePiece", dependencies: ["CLibSentencePiece"]),

        // Floor 1: tensors, pictures, text and files; none knows the others.
        .target(name: "Torch", dependencies: ["CTorch"], swiftSettings: strict),
        .target(name: "Media", dependencies: ["CMedia"], swiftSettings: optimised),
        .target(name: "Text", dependencies: ["CSentencePiece"], swiftSettings: optimised),
        .target(name: "Safetensors", swiftSettings: optimised),
        .target(
            name: "Hashing", dependencies: [.target(name: "CLibCrypto", condition: .when(platforms: [.linux]))],
            swiftSettings: optimised),
        .target(name: "Fetching", dependencies: ["CFetch"], swiftSettings: strict),
        .target(name: "Goldens", dependencies: ["Safetensors", "Hashing"], swiftSettings: optimised),
        .target(name: "Terminal", swiftSettings: strict),

        // Floor 2 and up.
        .target(name: "NN", dependencies: ["Torch", "Safetensors", "CKernels"], swiftSettings: strict),
        .target(
            name: "Models", dependencies: ["NN", "Torch", "Media", "Text", "Safetensors", "Hashing"],
            swiftSettings: optimised),
        .target(
            name: "Data", dependencies: ["Models", "Media", "Text", "Hashing", "Terminal"], swiftSettings: optimised),
        .target(name: "Inference", dependencies: ["Models", "NN", "Torch", "Media", "Text"], swiftSettings: optimised),
        .target(
            name: "Training",
            dependencies: [
                "Models", "NN", "Torch", "Media", "Text", "Data", "Inference", "Safetensors", "Hashing", "Terminal",
                .product(name: "Yams", package: "Yams"),
            ], swiftSettings: strict),
        .target(
            name: "Evaluation",
            dependencies: [
                "Models", "NN", "Torch", "Media", "Text", "Data", "Inference", "Training", "Safetensors", "Goldens",
                "Hashing", "Terminal",
            ], swiftSettings: strict),
        .target(
            name: "Serving", dependencies: ["Inference", "Models", "NN", "Torch", "Media", "Text"],
            swiftSettings: optimised),
        // Only programs choose their allocator; libraries and tests use the system's.
        .target(
            name: "CAllocator",
            linkerSettings: [.unsafeFlags(["-Xlinker", "-l:libjemalloc_pic.a"], .when(platforms: [.linux]))]),
        .target(
            name: "Server",
            dependencies: [
                "Serving", "Inference", "Models", "Data", "Media", "Text", "Hashing", "Fetching",
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ], resources: [.embedInCode("Web")], swiftSettings: strict),
        .target(name: "EmbeddedModel", resources: [.copy("omma-nano")], swiftSettings: strict),
        .executableTarget(
            name: "omma",
            dependencies: [
                "CAllocator", "EmbeddedModel", "Models", "NN", "Torch", "Media", "Text", "Data", "Inference",
                "Training", "Evaluation", "Safetensors", "Terminal", "Server", "Serving", "Fetching",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ], swiftSettings: strict),

        .executableTarget(
            name: "tokenizer-benchmark", dependencies: ["Text"], path: "Benchmarks/tokenizer",
            exclude: ["compare.py", "run.sh"], swiftSettings: strict),
        .executableTarget(
            name: "pictures-benchmark", dependencies: ["Media"], path: "Benchmarks/pictures",
            exclude: ["compare.py", "run.sh"], swiftSettings: strict),

        .testTarget(name: "CKernelsTests", dependencies: ["CKernels"], swiftSettings: optimised),
        // A device for tests, where there is no GPU.
        .target(
            name: "CStandInDevice", dependencies: ["CTorch"], path: "Tests/StandInDevice",
            cxxSettings: [.unsafeFlags(torchCompilerFlags)], linkerSettings: [.unsafeFlags(torchLinkerFlags)]),
        .target(
            name: "TestSupport", dependencies: ["Safetensors", "Goldens"], path: "Tests/TestSupport",
            swiftSettings: strict),
        .target(
            name: "ModelTestSupport", dependencies: ["TestSupport", "Models", "NN", "Torch", "Media"],
            path: "Tests/ModelTestSupport", swiftSettings: strict),
        test("Torch", ["CStandInDevice"]), test("Media", ["Goldens", "Hashing"]), test("Text"), test("Safetensors"),
        test("Hashing"),
        test("Goldens"), test("Fetching"),
        test("Terminal"), test("NN"), test("Models", ["ModelTestSupport", "Safetensors"]), test("Data"),
        test("Inference", ["ModelTestSupport"]), test("Serving", ["ModelTestSupport"]),
        test(
            "Server",
            [
                "ModelTestSupport", "Serving", .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]),
        test("Evaluation", ["CStandInDevice", "Goldens", "Torch"]),
        test(
            "Training",
            [
                "CStandInDevice", "Data", "Evaluation", "Goldens", "ModelTestSupport", "Models", "NN", "Safetensors",
                "Terminal", "Torch",
            ]),
        // Runs the built program as a process, and links none of it.
        .testTarget(name: "OmmaTests", dependencies: ["TestSupport", "Safetensors"], swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6],
    cxxLanguageStandard: .cxx20
)
