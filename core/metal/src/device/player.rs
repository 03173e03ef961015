//! The device as a player: memory of the process wrapped, one list run while the next is encoded.

use std::collections::HashMap;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;
use std::thread;

use super::{Bound, Encoded, Error, Gpu, Running};
use crate::dispatch::{Buffer, Dispatch};
use crate::player::{Player, Refused};

/// The system's GPU and what it is bound to.
pub struct Device {
    gpu: Arc<Gpu>,
    bound: Bound,
    ready: Option<Encoded>,
    running: Option<Running>,
}

impl Device {
    /// The system's GPU, its shaders compiled.
    pub fn new() -> Result<Self, Error> {
        let device = Self::compiling()?;
        device.gpu.compile()?;
        Ok(device)
    }

    /// The system's GPU, its shaders being compiled on a thread of their own. Until that is done it refuses lists.
    pub fn compiling() -> Result<Self, Error> {
        let gpu = Arc::new(Gpu::new()?);
        let compiled = gpu.clone();
        // What goes wrong there is told to whoever plays the first list.
        let compile = move || {
            let _told_later = compiled.compile();
        };
        if thread::Builder::new().name("sprat-shaders".to_owned()).spawn(compile).is_err() {
            gpu.compile()?;
        }
        Ok(Self { gpu, bound: Bound { weights: None, buffers: HashMap::new() }, ready: None, running: None })
    }

    /// Nothing works on what is bound any more, nor will.
    fn let_go(&mut self) {
        self.ready = None;
        if let Some(running) = self.running.take() {
            // Whoever started it and did not wait does not want to know.
            let _ended = running.wait();
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl Player for Device {
    unsafe fn bind(&mut self, buffer: Buffer, memory: NonNull<[u8]>, tensors: &[Range<u64>]) -> Result<(), Refused> {
        self.let_go();
        if buffer == Buffer::Weights {
            // SAFETY: passed on to the caller; nothing works on it any more when it is let go.
            let weights = unsafe { self.gpu.wrap(memory.cast(), memory.len() as u64, tensors.to_vec()) };
            self.bound.weights = Some(weights?);
        } else {
            // SAFETY: as above.
            let wrapped = unsafe { self.gpu.wrap_whole(memory) };
            self.bound.buffers.insert(buffer, wrapped?);
        }
        Ok(())
    }

    fn release(&mut self, buffer: Buffer) {
        self.let_go();
        self.bound.buffers.remove(&buffer);
    }

    fn encode(&mut self, list: &[Dispatch]) -> Result<(), Refused> {
        self.ready = None;
        if !self.gpu.is_compiled() {
            return Err(Refused { reason: "the shaders are being compiled".to_owned() });
        }
        self.ready = Some(self.gpu.encode(list, &self.bound)?);
        Ok(())
    }

    fn start(&mut self) -> Result<(), Refused> {
        let ready = self.ready.take().ok_or_else(|| Refused { reason: "no list is ready".to_owned() })?;
        self.running = Some(ready.start());
        Ok(())
    }

    fn wait(&mut self) -> Result<(), Refused> {
        Ok(self.running.take().map_or(Ok(()), Running::wait)?)
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { reason: error.to_string() }
    }
}
