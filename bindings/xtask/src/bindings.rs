//! What the tests of Kotlin and Swift start from: the library, the sources that call it, and one conversation's texts.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
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

/// README.md's program in `language`, written to `path`: what users copy is what is compiled and run.
pub fn readme(context: &Context, language: &str, path: &Path) -> Result<()> {
    let source = context.root.join("README.md");
    let text = fs::read_to_string(&source).map_err(|error| Error::File { path: source, source: error })?;
    let program = fenced(&text, language)
        .ok_or_else(|| Error::Missing { what: format!("a program in {language}"), install: "README.md".into() })?;
    write_changed(program.as_bytes(), path)
}

/// What stands in the first block of code that is marked as `language`.
fn fenced<'a>(text: &'a str, language: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("\n```{language}\n"))?;
    rest.split_once("```\n").map(|(program, _)| program)
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
        let text = "a\n```sh\nx\n```\n```swift\nlet a = 1\n```\nb";
        assert_eq!(fenced(text, "swift"), Some("let a = 1\n"));
        assert_eq!(fenced(text, "kotlin"), None);
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
        fs::remove_dir_all(root).expect("ours");
    }
}
