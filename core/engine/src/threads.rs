//! Threads that are begun only where the system has room for all that they take.

use std::io;
use std::thread::{Builder, JoinHandle};

use memmap2::MmapMut;

/// Stack of a thread without a reason for another: what the standard library gives.
pub const STACK_BYTES: usize = 2 << 20;

/// Beside its stack: one for signals, values of its own, tables of the system.
const ROOM_BYTES: usize = 512 << 10;

/// For a thread with so much stack, if there is room for it now. The standard library ends the process where a thread that
/// has begun gets no stack for signals, so the room is asked for before. Another thread may still take it meanwhile.
pub fn builder(name: &str, stack_bytes: usize) -> io::Result<Builder> {
    MmapMut::map_anon(stack_bytes.saturating_add(ROOM_BYTES))?;
    Ok(Builder::new().name(name.to_owned()).stack_size(stack_bytes))
}

/// Begins such a thread. All kinds of work share one copy of what begins a thread, which is kilobytes of the library.
pub fn spawn(name: &str, stack_bytes: usize, work: Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>> {
    builder(name, stack_bytes)?.spawn(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_room_is_an_error() {
        assert!(builder("large", 1 << 60).is_err());
        assert!(builder("larger", usize::MAX).is_err());
        let thread = builder("small", STACK_BYTES).and_then(|builder| builder.spawn(|| 7)).expect("two megabytes");
        assert_eq!(thread.join().expect("it does not panic"), 7);
    }
}
