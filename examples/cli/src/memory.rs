//! What this process has in memory, by the system's own word.

/// Anonymous bytes of this process: what it allocated, not what it mapped from files.
pub fn anonymous_bytes() -> u64 {
    rollup("Anonymous:")
}

/// One row of `/proc/self/smaps_rollup`, in bytes; 0 where the system has no such file.
fn rollup(row: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(row));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
