//! What the tests of Kotlin and Swift start from: the library, the sources that call it, and one conversation's texts.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::package::files;
use crate::parts::Context;
use crate::process::Program;

/// The library's name, without what the platform puts around it.
pub const LIBRARY: &str = "sprat_ffi";

/// How generated code is named.
const NAMES: &str = "bindings/ffi/bindings.toml";

/// Where the Rust side left its work.
pub struct Prepared {
    /// The shared library for this machine.
    pub library: PathBuf,
    /// Generated sources, in `kotlin` and `swift`.
    pub generated: PathBuf,
    /// The models and the texts that `scenario` wrote.
    pub scenario: PathBuf,
}

/// Builds and generates. In the profile and with the features of the unit tests, so that nothing is compiled twice.
pub fn prepare(context: &Context) -> Result<Prepared> {
    Program::cargo(context).args(["build", "--workspace", "--all-targets", "--locked"]).run(context)?;
    let built = |name: &str| context.target.join("debug").join(name);
    let folder = |name: &str| context.target.join("xtask").join(name);
    let prepared = Prepared {
        library: built(&format!("{}{LIBRARY}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)),
        generated: folder("generated"),
        scenario: folder("scenario"),
    };
    Program::new(context, built("sprat-generate"))
        .args([&prepared.library, Path::new(NAMES), &prepared.generated])
        .run(context)?;
    Program::new(context, built("scenario")).args([&prepared.scenario]).run(context)?;
    Ok(prepared)
}

/// A block of code on a page for users: the page, the language that the block is marked with, and its place among those.
pub struct Block(pub &'static str, pub &'static str, pub usize);

/// README.md's programs.
pub const KOTLIN: Block = Block("README.md", "kotlin", 0);
pub const SWIFT: Block = Block("README.md", "swift", 0);

/// Writes a block to `path` with `changes` made: what users copy is what is compiled and run.
pub fn shown(context: &Context, block: &Block, changes: &[(&str, &str)], path: &Path) -> Result<()> {
    let source = context.root.join(block.0);
    let text = fs::read_to_string(&source).map_err(|error| Error::File { path: source, source: error })?;
    let missing = |what: String| Error::Fault(format!("{} has no {what}", block.0));
    let found = fenced(&text, block.1, block.2).ok_or_else(|| missing(format!("block {} of {}", block.2, block.1)))?;
    let mut code = found.to_owned();
    for (from, to) in changes {
        code = code.split_once(from).map(|(a, b)| [a, to, b].concat()).ok_or_else(|| missing((*from).into()))?;
    }
    write_changed(code.as_bytes(), path)
}

fn fenced<'a>(text: &'a str, language: &str, place: usize) -> Option<&'a str> {
    let rest = text.split(&format!("\n```{language}\n")).nth(place + 1)?;
    rest.split_once("```\n").map(|(code, _)| code)
}

impl Prepared {
    /// Puts the library into a folder, under its own name.
    pub fn library_into(&self, folder: &Path) -> Result<()> {
        mirror(&self.library, &folder.join(self.library.file_name().unwrap_or_default()))
    }
}

/// Makes `to` hold what the file or folder `from` holds. What is the same already keeps its time, so that builds see no
/// change; files that only `to` has stay.
pub fn mirror(from: &Path, to: &Path) -> Result<()> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::File { path, source }
    };
    if from.is_dir() {
        for entry in fs::read_dir(from).map_err(failed(from))?.flatten() {
            mirror(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    write_changed(&fs::read(from).map_err(failed(from))?, to)
}

/// The same, and files that only `to` has are removed.
pub fn reflect(from: &Path, to: &Path) -> Result<()> {
    mirror(from, to)?;
    for stray in files(to) {
        if stray.strip_prefix(to).is_ok_and(|name| !from.join(name).exists()) {
            fs::remove_file(&stray).map_err(|source| Error::File { path: stray, source })?;
        }
    }
    Ok(())
}

fn write_changed(bytes: &[u8], path: &Path) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, bytes))
        .map_err(|source| Error::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_of_a_language_is_found() {
        let text = "a\n```sh\nx\n```\n```swift\nlet a = 1\n```\nb\n```swift\nlet b\n```\n";
        assert_eq!(fenced(text, "swift", 0), Some("let a = 1\n"));
        assert_eq!(fenced(text, "swift", 1), Some("let b\n"));
        assert_eq!((fenced(text, "swift", 2), fenced(text, "kotlin", 0)), (None, None));
    }

    #[test]
    fn a_mirror_holds_the_same_and_leaves_the_unchanged_alone() {
        let root = std::env::temp_dir().join(format!("sprat-mirror-{}", std::process::id()));
        let (from, to) = (root.join("from"), root.join("to"));
        let write = |name: &str, text: &str| {
            let path = from.join(name);
            fs::create_dir_all(path.parent().expect("below from")).expect("a temporary folder");
            fs::write(path, text).expect("a temporary file");
        };
        write("a", "one");
        write("deep/b", "two");
        mirror(&from, &to).expect("copies");
        let time = |name: &str| fs::metadata(to.join(name)).and_then(|meta| meta.modified()).expect("copied");
        let before = time("a");
        write("a", "one");
        write("deep/b", "three");
        mirror(&from, &to).expect("copies again");
        assert_eq!(time("a"), before);
        assert_eq!(fs::read_to_string(to.join("deep/b")).expect("copied"), "three");
        fs::write(to.join("deep/c"), "stray").expect("a temporary file");
        reflect(&from, &to).expect("copies and removes");
        assert!(!to.join("deep/c").exists() && to.join("deep/b").exists());
        fs::remove_dir_all(root).expect("ours");
    }
}
