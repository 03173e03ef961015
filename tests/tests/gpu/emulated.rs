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
}

// SAFETY: addresses of memory that whoever binds it lets the player use from any thread.
unsafe impl Send for Emulated {}

impl Emulated {
    /// Of the crate's shaders.
    pub fn new() -> Self {
        Self { emulator: Emulator::new(Order::Shuffled), bound: HashMap::new() }
    }
}

impl Player for Emulated {
    unsafe fn bind(&mut self, buffer: Buffer, memory: NonNull<[u8]>, _: &[Range<u64>]) -> Result<(), Refused> {
        if buffer == Buffer::Weights {
            // SAFETY: mapped and not written, by the caller's promise.
            self.emulator.define(buffer, unsafe { memory.as_ref() });
        }
        self.bound.insert(buffer, memory);
        Ok(())
    }

    fn release(&mut self, buffer: Buffer) {
        self.bound.remove(&buffer);
    }

    fn play(&mut self, list: &[Dispatch]) -> Result<(), Refused> {
        let memory = |binding: &Binding| match binding {
            Binding::Memory(buffer, _) if *buffer != Buffer::Weights => Some(*buffer),
            _ => None,
        };
        let named: HashSet<Buffer> = list.iter().flat_map(|dispatch| &dispatch.bindings).filter_map(memory).collect();
        let mut sent = Vec::new();
        for buffer in named {
            let memory = self.bound[&buffer];
            // SAFETY: bound, so mapped, and nobody writes it while a list is played.
            let bytes = unsafe { memory.as_ref() }.to_vec();
            self.emulator.define(buffer, &bytes);
            sent.push((buffer, memory, bytes));
        }
        list.iter().for_each(|dispatch| self.emulator.play(dispatch));
        for (buffer, mut memory, before) in sent {
            let after = self.emulator.read(buffer).expect("no finding");
            if after != before {
                // SAFETY: bound, and nobody touches it while a list is played.
                unsafe { memory.as_mut() }.copy_from_slice(&after);
            }
        }
        Ok(())
    }
}
