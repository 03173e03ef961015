// swift-tools-version:6.0
// On Apple platforms the engine is a binary target that `cargo xtask ios` makes; elsewhere, for tests, this machine's
// shared library. The generated sources in Sources/SpratBindings come from the same command.
import Foundation
import PackageDescription

#if os(Linux)
let native = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("native").path
let engine: Target = .systemLibrary(name: "SpratFFI", path: "Sources/SpratFFI")
let link: [LinkerSetting] = [.unsafeFlags(["-L", native, "-Xlinker", "-rpath", "-Xlinker", native])]
// What the sample app does behind its screen. Swift 6.0's library for Observation names a function that is nowhere.
let lenient: [LinkerSetting] = [.unsafeFlags(["-Xlinker", "--unresolved-symbols=ignore-in-shared-libs"])]
let tested: [Target] = [
    .target(name: "SampleLogic", dependencies: ["Sprat"], path: "Sample.swiftpm/Logic"),
    .testTarget(
        name: "SampleTests", dependencies: ["SampleLogic"], path: "Sample.swiftpm/Tests", linkerSettings: lenient),
]
// Only Apple's stores read the privacy manifest.
let excluded = ["PrivacyInfo.xcprivacy"]
let resources: [Resource] = []
#else
let engine: Target = .binaryTarget(name: "SpratFFI", path: "SpratFFI.xcframework")
let link: [LinkerSetting] = [.linkedFramework("CoreGraphics"), .linkedFramework("Foundation"), .linkedFramework("Metal")]
let tested: [Target] = []
let excluded: [String] = []
let resources: [Resource] = [.copy("PrivacyInfo.xcprivacy")]
#endif

let package = Package(
    name: "Sprat",
    platforms: [.iOS(.v16), .macOS(.v13)],
    products: [.library(name: "Sprat", targets: ["Sprat"])],
    targets: [
        engine,
        .target(name: "SpratBindings", dependencies: ["SpratFFI"], linkerSettings: link),
        .target(name: "Sprat", dependencies: ["SpratBindings"], exclude: excluded, resources: resources),
        .testTarget(name: "SpratTests", dependencies: ["Sprat"]),
    ] + tested,
    swiftLanguageModes: [.v6]
)
