//! Who plays lists of dispatches: the device on Apple's systems, an emulator in tests.

use std::ops::Range;
use std::ptr::NonNull;

use crate::dispatch::{Buffer, Dispatch};

/// Places of the page table, and what a [`Player`] is bound to, are whole multiples of it: a page of Apple's systems on arm64.
pub const PAGE_BYTES: u64 = 16 * 1024;

/// The GPU did not do something; the CPU is a way on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What it, or the system, says.
    pub reason: String,
}

/// A GPU that works on memory of this process. It runs one list at a time.
pub trait Player: Send {
    /// Lets the GPU see memory as `buffer`, in place of what was bound as it before. A device copies nothing. No range of
    /// `tensors` is cut where the memory is too long for one buffer of the device. Waits for a list that runs.
    ///
    /// # Safety
    /// - The memory lies in whole pages of the system that are mapped, for all buffers but the weights writable, until `buffer` is
    ///   bound to something else or released, or the player is gone.
    /// - From [`Player::start`] to the end of [`Player::wait`] nobody else writes what the list reads, nor touches what it writes.
    unsafe fn bind(&mut self, buffer: Buffer, memory: NonNull<[u8]>, tensors: &[Range<u64>]) -> Result<(), Refused>;

    /// Forgets what is bound as `buffer`. Waits for a list that runs.
    fn release(&mut self, buffer: Buffer);

    /// Makes a list ready, also while another one runs: what it works on is looked at when it runs itself. Only the latest is kept,
    /// until it is started or something is bound or released.
    fn encode(&mut self, list: &[Dispatch]) -> Result<(), Refused>;

    /// Lets the GPU begin with the list that is ready; the one before was waited for.
    fn start(&mut self) -> Result<(), Refused>;

    /// Waits for the end of the list that runs. After an error what the list writes holds anything.
    fn wait(&mut self) -> Result<(), Refused>;
}
