//! What this process has and has used, as Linux tells it in /proc.

use std::fs;
use std::time::Duration;

/// Its threads; none on other systems.
pub fn threads() -> Option<usize> {
    count("/proc/self/task")
}

/// Its open files and whatever else has a descriptor.
pub fn descriptors() -> Option<usize> {
    count("/proc/self/fd")
}

fn count(folder: &str) -> Option<usize> {
    fs::read_dir(folder).map(Iterator::count).ok()
}

/// A number of `/proc/self/status`, sizes in KB.
pub fn status(name: &str) -> Option<usize> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What all its threads have computed so far, to a hundredth of a second.
pub fn computed() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // "id (name) state parent …": the 14th and 15th field are ticks, of which Linux tells applications 100 a second.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(10 * ticks))
}
