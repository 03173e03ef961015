//! The Swift package for Apple's systems: the engine as static libraries in an xcframework, beside the sources.
//!
//! An xcframework is folders and a list; it is put together by hand everywhere, so that what is checked here is what Macs make.
//! Elsewhere than on a Mac there is the slice for iPhones alone, and Xcode has not seen it: such a package is marked.

mod checks;
mod macho;

use std::fs;
use std::path::{Path, PathBuf};

use crate::bindings::{LIBRARY, mirror, prepare};
use crate::error::{Error, Result};
use crate::needs::{IOS, IOS_SIMULATOR, MACOS};
use crate::package::{Check, clear, judge};
use crate::parts::Context;
use crate::process::Program;

/// The module of C functions that the generated Swift imports.
const MODULE: &str = "SpratFFI";
const ARCHIVE: &str = "libsprat_ffi.a";
const SAMPLE: &str = "Sample.swiftpm";
const MODEL: &str = "sprat-tiny-q8_0.gguf";
const PRIVACY: &str = "PrivacyInfo.xcprivacy";

/// Says that a package was made elsewhere than on a Mac.
const MARK: &str = "NOT-FOR-SHIPPING.txt";
const MARK_TEXT: &str =
    "This package was made without Xcode, for checks of its structure. It has no library for the simulator.\n";

/// A folder of the xcframework: the library for one system, on Apple's own chips.
struct Slice {
    name: &'static str,
    target: &'static str,
    platform: &'static str,
    /// Apple's number of the system.
    system: u32,
    /// The oldest of its versions.
    oldest: (u32, u32),
}

/// The slices that can be made here.
fn slices() -> &'static [Slice] {
    const ALL: &[Slice] = &[
        Slice { name: "ios-arm64", target: IOS, platform: "ios", system: 2, oldest: (16, 0) },
        Slice { name: "ios-arm64-simulator", target: IOS_SIMULATOR, platform: "ios", system: 7, oldest: (16, 0) },
        Slice { name: "macos-arm64", target: MACOS, platform: "macos", system: 1, oldest: (13, 0) },
    ];
    if cfg!(target_os = "macos") { ALL } else { &ALL[..1] }
}

/// The everyday part: the libraries compiled quickly, since only their form is looked at.
pub fn check(context: &Context) -> Result<()> {
    run(context, "structure")
}

/// `cargo xtask ios`: everything as it is shipped.
pub fn package(context: &Context) -> Result<()> {
    run(context, "release")
}

fn run(context: &Context, profile: &str) -> Result<()> {
    let generated = prepare(context)?.generated.join("swift");
    let packages = context.target.join("packages/ios");
    let root = packages.join("Sprat");
    clear(&packages)?;
    mirror(&context.root.join("ios"), &root)?;
    // Only Linux has a use for it: there the header stands in the sources.
    clear(&root.join("Sources").join(MODULE))?;
    // The sample app is a package of its own, which brings its model along.
    let sample = packages.join(SAMPLE);
    fs::rename(root.join(SAMPLE), &sample).map_err(|source| Error::File { path: sample.clone(), source })?;
    clear(&sample.join("Tests"))?;
    mirror(&context.root.join("examples/models").join(MODEL), &sample.join("App").join(MODEL))?;
    mirror(&generated.join("SpratBindings.swift"), &root.join("Sources/SpratBindings/SpratBindings.swift"))?;
    let framework = root.join(format!("{MODULE}.xcframework"));
    for slice in slices() {
        let folder = framework.join(slice.name);
        let headers = folder.join("Headers").join(MODULE);
        mirror(&library(context, slice, profile)?, &folder.join(ARCHIVE))?;
        mirror(&generated.join(format!("{MODULE}.h")), &headers.join(format!("{MODULE}.h")))?;
        write(&headers.join("module.modulemap"), &module_map())?;
        mirror(&context.root.join("ios/Sources/Sprat").join(PRIVACY), &folder.join(PRIVACY))?;
    }
    write(&framework.join("Info.plist"), &info())?;
    if cfg!(not(target_os = "macos")) {
        write(&root.join(MARK), MARK_TEXT)?;
    }
    judge(&root, &checks::CHECKS.iter().collect::<Vec<&Check>>())?;
    let zip = format!("{MODULE}.xcframework.zip");
    Program::new(context, "zip")
        .args(["-q", "-r", "-X"])
        .args([&format!("../{zip}"), &format!("{MODULE}.xcframework")])
        .inside(&root)
        .run(context)?;
    // What SwiftPM calls the checksum of a binary target is the plain SHA-256 of its zip.
    let sum = if cfg!(target_os = "macos") { ["shasum", "-a", "256"].as_slice() } else { &["sha256sum"] };
    let sum = Program::new(context, sum[0]).args(&sum[1..]).args([packages.join(&zip)]).output()?;
    let sum = sum.split_whitespace().next().unwrap_or_default();
    write(&packages.join(format!("{zip}.checksum")), sum)?;
    println!("{}, checksum {sum}", packages.display());
    Ok(())
}

/// Compiles the library for a slice.
fn library(context: &Context, slice: &Slice, profile: &str) -> Result<PathBuf> {
    Program::cargo(context)
        .args(["rustc", "-p", "sprat-ffi", "--lib", "--crate-type", "staticlib", "--locked"])
        .args(["--profile", profile, "--target", slice.target])
        .env("IPHONEOS_DEPLOYMENT_TARGET", "16.0")
        .env("MACOSX_DEPLOYMENT_TARGET", "13.0")
        .run(context)?;
    Ok(context.target.join(slice.target).join(profile).join(format!("lib{LIBRARY}.a")))
}

fn module_map() -> String {
    format!("module {MODULE} {{\n    header \"{MODULE}.h\"\n    export *\n}}\n")
}

/// The list of slices, as xcodebuild writes it.
fn info() -> String {
    let mut slices_text = String::new();
    for slice in slices() {
        let pair = |key: &str, value: &str| format!("\t\t\t<key>{key}</key>\n\t\t\t<string>{value}</string>\n");
        slices_text += "\t\t<dict>\n";
        slices_text += &pair("BinaryPath", ARCHIVE);
        slices_text += &pair("HeadersPath", "Headers");
        slices_text += &pair("LibraryIdentifier", slice.name);
        slices_text += &pair("LibraryPath", ARCHIVE);
        slices_text +=
            "\t\t\t<key>SupportedArchitectures</key>\n\t\t\t<array>\n\t\t\t\t<string>arm64</string>\n\t\t\t</array>\n";
        slices_text += &pair("SupportedPlatform", slice.platform);
        if slice.name.ends_with("-simulator") {
            slices_text += &pair("SupportedPlatformVariant", "simulator");
        }
        slices_text += "\t\t</dict>\n";
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\">\n<dict>\n\t<key>AvailableLibraries</key>\n\t<array>\n{slices_text}\t</array>\n\
         \t<key>CFBundlePackageType</key>\n\t<string>XFWK</string>\n\
         \t<key>XCFrameworkFormatVersion</key>\n\t<string>1.0</string>\n</dict>\n</plist>\n"
    )
}

fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
        .map_err(|source| Error::File { path: path.to_owned(), source })
}
