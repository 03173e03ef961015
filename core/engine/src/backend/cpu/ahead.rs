//! Cold weights are asked for a layer ahead, while the layer before is computed: a file read for the first time, or one larger
//! than memory. The system's own read-ahead sees a few streams of small steps and asks for little at a time.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::cores::allowed_cores;
use super::mapper::Mapper;
use super::pass::Worker;
use crate::file::MappedFile;
use crate::weights::{Matrix, Weights};

/// Passes without a fault after which no layer is watched any more: asking and watching cost up to 1 % of a token.
const CALM_PASSES: u32 = 16;

/// Watches whether the process waits for pages of files, by the system's count of major faults.
pub struct PageWatch {
    /// `/proc/self/stat`; none on other systems, where nothing is asked for ahead.
    stat: Option<File>,
    /// Faults before the last pass and before this one.
    before: AtomicU64,
    last: AtomicU64,
    calm: AtomicU32,
    mapper: Option<Mapper>,
    /// That this process may use.
    cores: usize,
}

impl PageWatch {
    /// Begins to watch: what faults from now on counts as the first pass's.
    pub fn new() -> Self {
        let stat = File::open("/proc/self/stat").ok();
        let faults = major_faults(stat.as_ref());
        Self {
            stat,
            before: AtomicU64::new(faults),
            last: AtomicU64::new(faults),
            calm: AtomicU32::new(0),
            mapper: None,
            cores: allowed_cores(),
        }
    }

    /// Begins to map the weights a layer ahead, on systems that can.
    pub fn map_ahead(&mut self, file: &Arc<MappedFile>, weights: &Weights) {
        if cfg!(not(any(target_os = "linux", target_os = "android"))) {
            return;
        }
        let layers = weights.layers.iter().map(|layer| layer.matrices().map(Matrix::place).collect());
        let layers = layers.chain([vec![weights.output.matrix.place()]]).collect();
        let file = file.clone();
        self.mapper = Mapper::start(layers, move |(part, bytes)| file.map_pages(part, bytes));
    }

    /// A pass begins.
    pub fn begin_pass(&self) {
        let now = major_faults(self.stat.as_ref());
        let last = self.last.swap(now, Ordering::Relaxed);
        self.before.store(last, Ordering::Relaxed);
        let calm = if now > last { 0 } else { self.calm.load(Ordering::Relaxed).saturating_add(1) };
        self.calm.store(calm, Ordering::Relaxed);
    }

    /// Whether pages had to be waited for in this pass or the one before.
    fn is_cold(&self) -> bool {
        self.calm.load(Ordering::Relaxed) < CALM_PASSES
            && major_faults(self.stat.as_ref()) > self.before.load(Ordering::Relaxed)
    }
}

/// The twelfth field of the line, counted after the program's name, which may hold anything. Allocates nothing.
fn major_faults(stat: Option<&File>) -> u64 {
    let mut line = [0; 512];
    let Some(Ok(len)) = stat.map(|file| file.read_at(&mut line, 0)) else { return 0 };
    field(&line[..len]).unwrap_or(0)
}

fn field(line: &[u8]) -> Option<u64> {
    let name_end = line.iter().rposition(|&byte| byte == b')')?;
    let digits = line[name_end..].split(|&byte| byte == b' ').nth(10)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

impl Worker<'_> {
    /// Asks for what comes after a layer: the next layer, or the head and the first one. Has it mapped if a core is free, and read
    /// if pages have to be waited for.
    pub fn ask_ahead(&self, layer: usize) {
        let (weights, file) = (&self.pass.weights, self.pass.file);
        if self.team.index != 0 {
            return;
        }
        // Where every core has a worker, these map what they read: one more thread would only be in their way.
        if let Some(mapper) = &self.pass.watch.mapper
            && self.team.workers() < self.pass.watch.cores
        {
            mapper.reach(layer);
        }
        if !self.pass.watch.is_cold() {
            return;
        }
        let next = weights.layers.get(layer + 1);
        let head = next.is_none().then_some(&weights.output.matrix);
        let layer = next.or(weights.layers.first());
        head.into_iter().chain(layer.into_iter().flat_map(|layer| layer.matrices())).for_each(|m| m.ask_for(file));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_whatever_the_program_is_called() {
        // The line of proc(5): pid, name, state, ppid, pgrp, session, tty, tpgid, flags, minflt, cminflt, majflt, …
        for name in ["(cat)", "(a) b (c d)", "()"] {
            let line = format!("17 {name} R 1 17 17 0 -1 4194304 101 0 42 0 7 3 0 0 20 0 1 0");
            assert_eq!(field(line.as_bytes()), Some(42), "{name}");
        }
        assert_eq!(field(b"17 (cat) R 1"), None);
        assert_eq!(field(b""), None);
    }

    #[test]
    fn faults_of_this_pass_and_the_last_are_cold_and_calm_ends_the_watch() {
        let path = std::env::temp_dir().join(format!("sprat-faults-{}", std::process::id()));
        let write =
            |faults: u64| std::fs::write(&path, format!("1 (x) R 1 1 1 0 -1 0 5 0 {faults:09} 0 7 ")).expect("room");
        write(100);
        let stat = File::open(&path).expect("just written");
        let watch = PageWatch { stat: Some(stat), before: 100.into(), last: 100.into(), ..PageWatch::new() };
        watch.begin_pass();
        assert!(!watch.is_cold(), "nothing has happened");
        write(101);
        assert!(watch.is_cold(), "a fault in this pass");
        watch.begin_pass();
        assert!(watch.is_cold(), "a fault in the pass before");
        watch.begin_pass();
        assert!(!watch.is_cold(), "that was long ago");
        for _ in 0..CALM_PASSES {
            watch.begin_pass();
        }
        write(102);
        assert!(!watch.is_cold(), "nobody looks in the middle of a pass any more");
        watch.begin_pass();
        assert!(watch.is_cold(), "but every pass looks once");
        std::fs::remove_file(&path).expect("still there");
    }
}
