//! The emulator as a player: what a list names goes into its process, what it changed comes back.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::ptr::NonNull;

use sprat_metal::{Binding, Buffer, Dispatch, Player, Refused};

use crate::emulator::{Emulator, Order};

/// An emulator, and the memory that it stands in for a GPU on.
pub struct Emulated {
    emulator: Emulator,
    bound: HashMap<Buffer, NonNull<[u8]>>,
    ready: Option<Encoded>,
    running: Vec<Lent>,
}

/// A list as commands, and the memory that it names.
struct Encoded {
    commands: Vec<u8>,
    named: HashSet<Buffer>,
}

/// Memory that a list works on, as it was when the list began.
struct Lent {
    buffer: Buffer,
    memory: NonNull<[u8]>,
    before: Vec<u8>,
}

// SAFETY: addresses of memory that whoever binds it lets the player use from any thread.
unsafe impl Send for Emulated {}

impl Emulated {
    /// Of the crate's shaders.
    pub fn new() -> Self {
        let emulator = Emulator::new(Order::Shuffled);
        Self { emulator, bound: HashMap::new(), ready: None, running: Vec::new() }
    }
}

impl Player for Emulated {
    unsafe fn bind(&mut self, buffer: Buffer, memory: NonNull<[u8]>, _: &[Range<u64>]) -> Result<(), Refused> {
        self.ready = None;
        // SAFETY: mapped and not written, by the caller's promise.
        self.emulator.define(buffer, if buffer == Buffer::Weights { unsafe { memory.as_ref() } } else { &[] });
        self.bound.insert(buffer, memory);
        Ok(())
    }

    fn release(&mut self, buffer: Buffer) {
        self.ready = None;
        self.bound.remove(&buffer);
    }

    fn encode(&mut self, list: &[Dispatch]) -> Result<(), Refused> {
        let memory = |binding: &Binding| match binding {
            Binding::Memory(buffer, _) if *buffer != Buffer::Weights => Some(*buffer),
            _ => None,
        };
        self.ready = None;
        let named: HashSet<Buffer> = list.iter().flat_map(|dispatch| &dispatch.bindings).filter_map(memory).collect();
        if let Some(buffer) = named.iter().find(|buffer| !self.bound.contains_key(buffer)) {
            return Err(Refused { reason: format!("{buffer:?} is not bound") });
        }
        let commands = list.iter().flat_map(|dispatch| self.emulator.encoded(dispatch)).collect();
        self.ready = Some(Encoded { commands, named });
        Ok(())
    }

    fn start(&mut self) -> Result<(), Refused> {
        assert!(self.running.is_empty(), "one list runs at a time");
        let Encoded { commands, named } = self.ready.take().expect("a list is ready");
        for buffer in named {
            let memory = self.bound[&buffer];
            // SAFETY: bound, so mapped, and nobody writes it while a list runs.
            let before = unsafe { memory.as_ref() }.to_vec();
            self.emulator.define(buffer, &before);
            self.running.push(Lent { buffer, memory, before });
        }
        self.emulator.send(&commands);
        Ok(())
    }

    fn wait(&mut self) -> Result<(), Refused> {
        for Lent { buffer, mut memory, before } in self.running.drain(..) {
            // SAFETY: bound, and nobody touches it while a list runs.
            let host = unsafe { memory.as_mut() };
            // Other sequences may have written pages of their own.
            assert!(buffer == Buffer::Pages || host == before, "{buffer:?} was written while a list ran");
            let after = self.emulator.read(buffer).expect("no finding");
            if after != before {
                host.copy_from_slice(&after);
            }
        }
        Ok(())
    }
}
