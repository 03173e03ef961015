//! Puts an Android package together: the archive, what Maven has beside it, and the symbols.

use std::fs;
use std::path::{Path, PathBuf};

use super::link::{self, ABIS, MIN_SDK};
use crate::bindings::mirror;
use crate::error::{Error, Result};
use crate::kotlin::Classes;
use crate::package::clear;
use crate::parts::Context;
use crate::process::Program;

/// Its name in a Maven repository.
const GROUP: &str = "dev/sprat";
const ARTIFACT: &str = "sprat-android";

/// What the hand-written side gives.
const MANIFEST: &str = "android/sdk/src/main/AndroidManifest.xml";
const RULES: &str = "android/sdk/consumer-rules.pro";
const SOURCES: &[&str] = &["android/sdk/src/main/kotlin", "android/sdk/src/android/kotlin"];

/// Marks a package whose libraries were linked without an NDK, in its version and inside it.
pub const MARK: &str = "-not-for-shipping";
pub const MARK_FILE: &str = "META-INF/NOT-FOR-SHIPPING.txt";
const MARK_TEXT: &str = "The libraries in here were linked without Android's NDK, for checks of the package's structure. They do \
    not run.\n";

/// Android's build tools read here which of them can use the archive.
const METADATA: &str = "META-INF/com/android/build/gradle/aar-metadata.properties";
const METADATA_TEXT: &str = "aarFormatVersion=1.0\naarMetadataVersion=1.0\nminCompileSdk=1\nminCompileSdkExtension=0\n\
    minAndroidGradlePluginVersion=1.0.0\ncoreLibraryDesugaringEnabled=false\n";

/// A package, and the folder where it lies unpacked.
pub struct Aar {
    /// `aar`, `classes`, `jna`, `sources`, `javadoc`, `symbols` and `pom.xml`.
    pub unpacked: PathBuf,
    /// The Maven repository.
    pub repository: PathBuf,
}

/// Builds libraries in the profile that `profile` names for each processor, and puts everything into `target/packages/android`.
pub fn build(context: &Context, classes: &Classes, profile: impl Fn(&str) -> &'static str) -> Result<Aar> {
    let packages = context.target.join("packages/android");
    let work = context.target.join("xtask/android/package");
    clear(&packages)?;
    clear(&work)?;
    let version = version();
    let folder = packages.join("maven").join(GROUP).join(ARTIFACT).join(&version);
    let named = |rest: &str| folder.join(format!("{ARTIFACT}-{version}{rest}"));

    let content = work.join("content");
    for abi in ABIS {
        let (linked, stripped) = link::library(context, abi, profile(abi.name))?;
        let name = stripped.file_name().unwrap_or_default();
        mirror(&stripped, &content.join("jni").join(abi.name).join(name))?;
        mirror(&linked, &packages.join("symbols").join(abi.name).join(name))?;
    }
    write(&content.join("AndroidManifest.xml"), &manifest(&read(&context.root.join(MANIFEST))?))?;
    mirror(&context.root.join(RULES), &content.join("proguard.txt"))?;
    write(&content.join("R.txt"), "")?;
    write(&content.join(METADATA), METADATA_TEXT)?;
    if link::ndk().is_none() {
        write(&content.join(MARK_FILE), MARK_TEXT)?;
    }
    jar(context, &content.join("classes.jar"), &classes.folders)?;
    jar(context, &named(".aar"), &[content])?;
    write(&named(".pom"), &pom(&read(&context.root.join("android/pom.xml"))?, &version)?)?;
    let mut sources: Vec<PathBuf> = SOURCES.iter().map(|folder| context.root.join(folder)).collect();
    sources.push(classes.generated.clone());
    jar(context, &named("-sources.jar"), &sources)?;
    if let Some(pages) = &classes.pages {
        jar(context, &named("-javadoc.jar"), std::slice::from_ref(pages))?;
        unjar(context, &named("-javadoc.jar"), &work.join("unpacked/javadoc"))?;
    }

    // What is checked is what was packed, not what was meant to be.
    let unpacked = work.join("unpacked");
    unjar(context, &named(".aar"), &unpacked.join("aar"))?;
    unjar(context, &unpacked.join("aar/classes.jar"), &unpacked.join("classes"))?;
    unjar(context, &classes.jna, &unpacked.join("jna"))?;
    unjar(context, &named("-sources.jar"), &unpacked.join("sources"))?;
    mirror(&named(".pom"), &unpacked.join("pom.xml"))?;
    mirror(&packages.join("symbols"), &unpacked.join("symbols"))?;
    Ok(Aar { unpacked, repository: packages.join("maven") })
}

/// This package's version.
pub fn version() -> String {
    let mark = if link::ndk().is_some() { "" } else { MARK };
    format!("{}{mark}", env!("CARGO_PKG_VERSION"))
}

/// The manifest as it stands in an archive, where Gradle's settings have become part of it.
fn manifest(source: &str) -> String {
    source.replace(
        "<manifest xmlns:android=\"http://schemas.android.com/apk/res/android\" />",
        &format!(
            "<manifest xmlns:android=\"http://schemas.android.com/apk/res/android\" package=\"dev.sprat\">\n    \
             <uses-sdk android:minSdkVersion=\"{MIN_SDK}\" />\n</manifest>"
        ),
    )
}

/// What Maven and Gradle read: the same versions as in the build that compiled the classes.
fn pom(parent: &str, version: &str) -> Result<String> {
    let property = |name: &str| {
        let value = parent.split_once(&format!("<{name}>")).and_then(|(_, rest)| rest.split_once('<'));
        value.map(|(value, _)| value).ok_or_else(|| Error::Fault(format!("android/pom.xml does not set {name}")))
    };
    let dependency = |group: &str, artifact: &str, property_name: &str, rest: &str| -> Result<String> {
        Ok(format!(
            "    <dependency>\n      <groupId>{group}</groupId>\n      <artifactId>{artifact}</artifactId>\n      \
             <version>{}</version>\n{rest}    </dependency>\n",
            property(property_name)?
        ))
    };
    // Flow is in the public API; JNA is not, but an app must pack it.
    let dependencies = [
        dependency("org.jetbrains.kotlin", "kotlin-stdlib", "kotlin.version", "      <scope>compile</scope>\n")?,
        dependency(
            "org.jetbrains.kotlinx",
            "kotlinx-coroutines-core-jvm",
            "coroutines.version",
            "      <scope>compile</scope>\n",
        )?,
        dependency("net.java.dev.jna", "jna", "jna.version", "      <type>aar</type>\n      <scope>runtime</scope>\n")?,
    ];
    Ok(format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>dev.sprat</groupId>
  <artifactId>{ARTIFACT}</artifactId>
  <version>{version}</version>
  <packaging>aar</packaging>
  <name>Sprat</name>
  <description>Small language models inside apps.</description>
  <licenses>
    <license>
      <name>MIT</name>
      <url>https://opensource.org/license/mit</url>
    </license>
    <license>
      <name>Apache-2.0</name>
      <url>https://www.apache.org/licenses/LICENSE-2.0.txt</url>
    </license>
  </licenses>
  <dependencies>
{}  </dependencies>
</project>
"#,
        dependencies.concat()
    ))
}

/// Packs what is in some folders, always to the same bytes.
fn jar(context: &Context, archive: &Path, folders: &[PathBuf]) -> Result<()> {
    let folder = archive.parent().unwrap_or(archive);
    fs::create_dir_all(folder).map_err(|source| Error::File { path: folder.to_owned(), source })?;
    let mut program = Program::new(context, "jar")
        .args(["--create", "--no-manifest", "--date=2000-01-01T00:00:00Z", "--file"])
        .args([archive]);
    for folder in folders {
        program = program.args(["-C".as_ref(), folder.as_os_str(), ".".as_ref()]);
    }
    program.run(context)
}

fn unjar(context: &Context, archive: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|source| Error::File { path: folder.to_owned(), source })?;
    Program::new(context, "jar").args(["-xf"]).args([archive]).inside(folder).run(context)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source })
}

fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
        .map_err(|source| Error::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn android(name: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../android").join(name);
        fs::read_to_string(path).expect("part of the repository")
    }

    #[test]
    fn gradle_and_maven_use_the_same_versions() {
        let (maven, gradle) = (android("pom.xml"), android("gradle/libs.versions.toml"));
        for name in ["kotlin", "coroutines", "jna"] {
            let (_, rest) = maven.split_once(&format!("<{name}.version>")).expect(name);
            let (version, _) = rest.split_once('<').expect(name);
            assert!(gradle.contains(&format!("\n{name} = \"{version}\"\n")), "{name} {version}");
        }
    }

    #[test]
    fn the_manifest_of_the_archive_names_package_and_oldest_android() {
        let manifest = manifest(&android("sdk/src/main/AndroidManifest.xml"));
        assert!(manifest.contains("package=\"dev.sprat\"") && manifest.contains("minSdkVersion=\"26\""), "{manifest}");
    }
}
