//! Checks of a package, each with the fault that it must find: a check that no longer fails is no check.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::bindings::reflect;
use crate::error::{Error, Result};

/// What a check says: a figure, or what is wrong.
pub type Verdict = std::result::Result<String, String>;

/// One property of a package that lies unpacked in a folder.
pub struct Check {
    /// The property, for the table.
    pub what: &'static str,
    /// Looks at it.
    pub run: fn(&Path) -> Verdict,
    /// Spoils it in a copy.
    pub fault: fn(&Path) -> io::Result<()>,
}

/// Runs all checks on the package in `root`, then each on a copy with its fault, and prints the table.
pub fn judge(root: &Path, checks: &[&Check]) -> Result<()> {
    let mut faults = 0;
    clear(&copy(root))?;
    for check in checks {
        let verdict = (check.run)(root);
        let spoilt = spoilt(root, check)?;
        faults += usize::from(verdict.is_err() || spoilt.is_ok());
        match (verdict, spoilt) {
            (Ok(figure), Err(fault)) => println!("ok      {:32} {figure} (spoilt: {fault})", check.what),
            (Ok(_), Ok(_)) => println!("FAILED  {:32} it does not see its fault", check.what),
            (Err(fault), _) => println!("FAILED  {:32} {fault}", check.what),
        }
    }
    clear(&copy(root))?;
    if faults == 0 { Ok(()) } else { Err(Error::Fault(format!("{faults} of {} checks failed", checks.len()))) }
}

/// What a check says of a copy that has its fault. The copy is made once; then what the fault before it did is undone.
fn spoilt(root: &Path, check: &Check) -> Result<Verdict> {
    let copy = copy(root);
    reflect(root, &copy)?;
    (check.fault)(&copy).map_err(|source| Error::File { path: copy.clone(), source })?;
    Ok((check.run)(&copy))
}

fn copy(root: &Path) -> PathBuf {
    root.with_extension("spoilt")
}

/// Removes a folder with all that is in it, if it is there.
pub fn clear(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::File { path: folder.to_owned(), source }),
        _ => Ok(()),
    }
}

/// All files below a folder, sorted.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// A file's text, or that it cannot be read.
pub fn text(path: &Path) -> Verdict {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Puts other bytes in the place of the first, or of every, `old` in a file: how most faults are made.
pub fn replace(path: &Path, old: &[u8], new: &[u8], every: bool) -> io::Result<()> {
    let bytes = fs::read(path)?;
    let mut spoilt = Vec::with_capacity(bytes.len());
    let (mut at, mut found) = (0, false);
    while at < bytes.len() {
        if bytes[at..].starts_with(old) && (every || !found) {
            spoilt.extend(new);
            at += old.len();
            found = true;
        } else {
            spoilt.push(bytes[at]);
            at += 1;
        }
    }
    if !found {
        return Err(io::Error::other(format!("there is no {} to spoil", String::from_utf8_lossy(old))));
    }
    fs::write(path, spoilt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a(root: &Path) -> Verdict {
        fs::read_to_string(root.join("a")).map_err(|error| error.to_string())
    }

    const SEES: Check = Check {
        what: "a is one",
        run: |root| a(root).and_then(|text| if text == "one" { Ok(text) } else { Err("not one".into()) }),
        fault: |root| replace(&root.join("a"), b"one", b"two", true),
    };
    const BLIND: Check = Check { what: "a is there", run: a, ..SEES };

    #[test]
    fn a_check_that_does_not_see_its_fault_fails() {
        let root = std::env::temp_dir().join(format!("sprat-package-{}", std::process::id()));
        fs::create_dir_all(&root).and_then(|()| fs::write(root.join("a"), "one")).expect("a temporary folder");
        assert!(judge(&root, &[&SEES]).is_ok());
        assert!(judge(&root, &[&SEES, &BLIND]).is_err());
        assert_eq!(a(&root).as_deref(), Ok("one"), "the package itself is left alone");
        fs::write(root.join("a"), "one one").expect("ours");
        assert!(judge(&root, &[&SEES]).is_err());
        fs::remove_dir_all(root).expect("ours");
    }
}
