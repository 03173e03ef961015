//! Where tests put files: a folder for each process, which goes with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

const PREFIX: &str = "sprat-process-";

/// The folders of this process.
static MADE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A place for a file of this process alone, in the system's folder for temporary files.
pub fn file(name: &str) -> PathBuf {
    folder(&std::env::temp_dir()).join(name)
}

/// The folder of this process in `parent`. It is removed when the process ends; one that was left by a process that was killed, when
/// the next one begins.
pub fn folder(parent: &Path) -> PathBuf {
    let path = parent.join(format!("{PREFIX}{}", std::process::id()));
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if !made.contains(&path) {
        remove_left_behind(parent);
        fs::create_dir_all(&path).expect("a folder for scratch files");
        if made.is_empty() {
            // SAFETY: a function without arguments, which may be called in any state of the program.
            unsafe { libc::atexit(remove) };
        }
        made.push(path.clone());
    }
    path
}

extern "C" fn remove() {
    for path in MADE.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        let _gone = fs::remove_dir_all(path);
    }
}

/// Removes the folders of processes that are no more, where the system lists processes.
fn remove_left_behind(parent: &Path) {
    let processes = Path::new("/proc");
    if !processes.join("self").exists() {
        return;
    }
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if process.is_some_and(|process| !processes.join(process).exists()) {
            // Another may be removing it too.
            let _gone = fs::remove_dir_all(entry.path());
        }
    }
}
