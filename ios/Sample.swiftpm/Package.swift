// swift-tools-version:6.0
// The sample app: `cargo xtask ios` copies it beside the package, with the bundled model in it; open that copy in Xcode.
// Written to be right; not yet opened by Xcode.
import AppleProductTypes
import PackageDescription

let package = Package(
    name: "Sample",
    platforms: [.iOS("17.0")],
    products: [
        .iOSApplication(
            name: "Sample", targets: ["App"], bundleIdentifier: "dev.sprat.sample", displayVersion: "0.1.0",
            bundleVersion: "1", supportedDeviceFamilies: [.phone, .pad],
            supportedInterfaceOrientations: [.portrait, .landscapeLeft, .landscapeRight])
    ],
    dependencies: [.package(path: "../Sprat")],
    targets: [
        .target(name: "SampleLogic", dependencies: [.product(name: "Sprat", package: "Sprat")], path: "Logic"),
        .executableTarget(
            name: "App", dependencies: ["SampleLogic"], path: "App", resources: [.copy("sprat-tiny-q8_0.gguf")]),
    ],
    swiftLanguageModes: [.v6]
)
