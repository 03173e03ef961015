//! A model's GPU, found when it is opened.

use std::time::Duration;

use sprat_metal::Player;

use super::{Model, OpenOptions};
use crate::backend::Backend;
use crate::backend::cpu::Work;
use crate::backend::gpu::{Gpu, Side};
use crate::error::{Error, GpuFault};
use crate::file::Source;

impl Model {
    /// [`Model::open_with`] on a GPU of the caller's.
    pub fn open_on(player: Box<dyn Player>, source: impl Into<Source>, options: &OpenOptions) -> Result<Self, Error> {
        let model = Self::open_on_cpu(source, options)?;
        model.with_gpu(options.backend, || Ok(player)).check_backend(options.backend)
    }

    /// With the system's GPU, if it has one for this model.
    #[cfg(target_vendor = "apple")]
    pub(super) fn with_system_gpu(self, backend: Backend) -> Self {
        use sprat_metal::device::Device;
        self.with_gpu(backend, || {
            // Who asked for the GPU waits for its shaders; otherwise the CPU begins.
            let device = if backend == Backend::Gpu { Device::new() } else { Device::compiling() };
            let device = device.map_err(|error| GpuFault::Refused { reason: error.to_string() })?;
            Ok(Box::new(device))
        })
    }

    /// With a GPU, if it can compute for this model and the app wants one.
    fn with_gpu(mut self, backend: Backend, find: impl FnOnce() -> Result<Box<dyn Player>, GpuFault>) -> Self {
        if backend == Backend::Cpu {
            return self;
        }
        let gpu = Gpu::new(find, backend, &self.config, &self.weights, (&self.file, &self.parts[0]));
        match gpu {
            Ok(gpu) => {
                self.home.arena = Some(gpu.arena.clone());
                (self.gpu, self.info.gpu) = (Some(gpu), Ok(()));
            }
            Err(fault) => self.info.gpu = Err(fault),
        }
        self
    }

    /// Gives back what the GPU's passes work in.
    pub(super) fn release_gpu(&self) {
        if let Some(gpu) = &self.gpu {
            gpu.release();
        }
    }

    /// The CPU took so long for a pass.
    pub(super) fn cpu_took(&self, work: Work, time: Duration) {
        if let Some(gpu) = self.gpu.as_ref().filter(|_| work == Work::Token) {
            gpu.choice.observe(Side::Cpu, time);
        }
    }
}
