// swift-tools-version:6.0
// On Apple platforms the engine is a binary target that `cargo xtask ios` makes; elsewhere, for tests, this machine's
// shared library. The generated sources in Sources/SpratBindings come from the same command.
import Foundation
import PackageDescription

#if os(Linux)
let native = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("native").path
let engine: Target = .systemLibrary(name: "SpratFFI", path: "Sources/SpratFFI")
let link: [LinkerSetting] = [.unsafeFlags(["-L", native, "-Xlinker", "-rpath", "-Xlinker", native])]
// README.md's program.
let readme: [Target] = [.executableTarget(name: "Readme", dependencies: ["Sprat"])]
// Only Apple's stores read the privacy manifest.
let excluded = ["PrivacyInfo.xcprivacy"]
let resources: [Resource] = []
#else
let engine: Target = .binaryTarget(name: "SpratFFI", path: "SpratFFI.xcframework")
let link: [LinkerSetting] = []
let readme: [Target] = []
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
    ] + readme,
    swiftLanguageModes: [.v6]
)
