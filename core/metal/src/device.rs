//! Plays a plan on an Apple GPU, over candle's Metal device. Compiled for iOS and macOS; never yet run.

mod player;

// Without it a command-line program on a Mac finds no device.
#[cfg(target_os = "macos")]
#[link(name = "CoreGraphics", kind = "framework")]
unsafe extern "C" {}

use std::collections::HashMap;
use std::ffi::c_void;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{Mutex, OnceLock, PoisonError};

use candle_metal_kernels::metal::{Buffer as Memory, CommandQueue, ComputePipeline, Device as Metal, Library};
use objc2::rc::{Retained, autoreleasepool};
use objc2::runtime::ProtocolObject;
use objc2_metal::{
    MTLCommandBuffer, MTLCommandBufferStatus, MTLCommandEncoder, MTLCommandQueue, MTLComputeCommandEncoder, MTLDevice,
    MTLGPUFamily, MTLResourceOptions, MTLSize,
};

pub use player::Device;

use crate::SHADERS;
use crate::dispatch::{Binding, Buffer, Dispatch, Kernel};
use crate::player::PAGE_BYTES;
use crate::views::{View, views};

/// Why the GPU did not do something. All of it leaves the CPU as a way on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A machine without one.
    #[error("no Metal device")]
    NoDevice,
    /// A GPU before the A14's and the M1's, or the simulator's: without the simdgroup operations that the shaders need (Metal
    /// Feature Set Tables: Apple7).
    #[error("a GPU of too old a family")]
    TooOld,
    /// The device, or Apple's compiler, refuses the shaders.
    #[error("the shaders do not compile: {message}")]
    Shaders {
        /// What the compiler says.
        message: String,
    },
    /// A kernel does not become a pipeline, or takes fewer threads on this device.
    #[error("kernel {kernel}: {message}")]
    Kernel {
        /// Its name.
        kernel: String,
        /// What is wrong.
        message: String,
    },
    /// Memory cannot become buffers: not aligned to pages, or longer than the device's longest buffer and not to be cut.
    #[error("mapped memory of {bytes} bytes cannot be wrapped")]
    Unwrappable {
        /// Its length.
        bytes: u64,
    },
    /// A dispatch names memory that was not given.
    #[error("{buffer:?} is not bound")]
    Unbound {
        /// Which.
        buffer: Buffer,
    },
    /// The GPU refused or broke off: the app went to the background, or a fault.
    #[error("the GPU stopped: {message}")]
    Stopped {
        /// What Metal says.
        message: String,
    },
}

/// A GPU with its queue and its shaders.
pub struct Gpu {
    device: Metal,
    queue: CommandQueue,
    library: OnceLock<Result<Library, String>>,
    pipelines: Mutex<HashMap<Kernel, ComputePipeline>>,
}

/// The mapped model file as buffers, without a copy.
pub struct Weights {
    views: Vec<(View, Memory)>,
    tensors: Vec<Range<u64>>, // sorted by start
}

/// What a list of dispatches works on.
pub struct Bound {
    /// The model.
    pub weights: Option<Weights>,
    /// Everything else.
    pub buffers: HashMap<Buffer, Memory>,
}

/// A command buffer that holds a list. Dropped, it was never there.
pub struct Encoded(Retained<ProtocolObject<dyn MTLCommandBuffer>>);

// SAFETY: Metal's command buffers belong to no thread; this one is used by whoever has it, so by one at a time.
unsafe impl Send for Encoded {}

/// A command buffer that the GPU works on.
pub struct Running(Encoded);

impl Gpu {
    /// The system's GPU.
    pub fn new() -> Result<Self, Error> {
        let device = Metal::system_default().ok_or(Error::NoDevice)?;
        if !device.as_ref().supportsFamily(MTLGPUFamily::Apple7) {
            return Err(Error::TooOld);
        }
        let queue = device.new_command_queue().map_err(|_| Error::NoDevice)?;
        Ok(Self { device, queue, library: OnceLock::new(), pipelines: Mutex::new(HashMap::new()) })
    }

    /// Compiles the shaders, once: Apple's compiler may take seconds. Waits for another thread that does it.
    pub fn compile(&self) -> Result<&Library, Error> {
        let compile = || {
            let source: String = SHADERS.iter().map(|(_, text)| *text).collect();
            self.device.new_library_with_source(&source, None).map_err(|error| error.to_string())
        };
        self.library.get_or_init(compile).as_ref().map_err(|message| Error::Shaders { message: message.clone() })
    }

    /// Whether [`Self::compile`] answers at once.
    pub fn is_compiled(&self) -> bool {
        self.library.get().is_some()
    }

    /// Compiles the pipelines of a list ahead of its first use.
    pub fn prepare(&self, list: &[Dispatch]) -> Result<(), Error> {
        list.iter().try_for_each(|dispatch| self.pipeline(dispatch).map(|_| ()))
    }

    /// Wraps the mapped file, whose tensors have these ranges. No byte of it is copied.
    ///
    /// # Safety
    /// - `mapping` points to `len` mapped bytes, and the rest of the last page is mapped too.
    /// - The mapping outlives the result and every [`Running`] that works on it, and nobody writes to it.
    pub unsafe fn wrap(&self, mapping: NonNull<u8>, len: u64, mut tensors: Vec<Range<u64>>) -> Result<Weights, Error> {
        let unwrappable = || Error::Unwrappable { bytes: len };
        tensors.sort_by_key(|tensor| tensor.start);
        if !(mapping.as_ptr() as u64).is_multiple_of(PAGE_BYTES) {
            return Err(unwrappable());
        }
        let max = self.device.as_ref().maxBufferLength() as u64;
        let list = views(len, max, PAGE_BYTES, &tensors).ok_or_else(unwrappable)?;
        let wrap = |view: View| {
            // SAFETY: a view begins within the mapping.
            let start = unsafe { mapping.add(view.range.start as usize) };
            let view_bytes = NonNull::slice_from_raw_parts(start, (view.range.end - view.range.start) as usize);
            // SAFETY: whole mapped pages, which the caller keeps and nobody writes: nothing has to be waited for.
            let memory = unsafe { self.no_copy(view_bytes, MTLResourceOptions::HazardTrackingModeUntracked) };
            memory.map(|memory| (view, memory)).ok_or_else(unwrappable)
        };
        Ok(Weights { views: list.into_iter().map(wrap).collect::<Result<_, _>>()?, tensors })
    }

    /// Wraps memory that CPU and GPU share, for reading and writing.
    ///
    /// # Safety
    /// - It lies in whole mapped pages, which outlive the result and every [`Running`] that works on it.
    /// - While such a one runs, nobody writes it, nor reads what the list writes.
    pub unsafe fn wrap_whole(&self, memory: NonNull<[u8]>) -> Result<Memory, Error> {
        let unwrappable = || Error::Unwrappable { bytes: memory.len() as u64 };
        let aligned = (memory.cast::<u8>().as_ptr() as u64).is_multiple_of(PAGE_BYTES);
        if !aligned || memory.len() > self.device.as_ref().maxBufferLength() {
            return Err(unwrappable());
        }
        // SAFETY: passed on to the caller.
        unsafe { self.no_copy(memory, MTLResourceOptions::HazardTrackingModeTracked) }.ok_or_else(unwrappable)
    }

    /// A buffer over memory; none if the device does not take it.
    ///
    /// # Safety
    /// Whole mapped pages, used as `options` and the lists say for as long as the result.
    unsafe fn no_copy(&self, memory: NonNull<[u8]>, options: MTLResourceOptions) -> Option<Memory> {
        // SAFETY: passed on to the caller; nothing is to be freed.
        let raw = unsafe {
            self.device.as_ref().newBufferWithBytesNoCopy_length_options_deallocator(
                memory.cast(),
                memory.len(),
                MTLResourceOptions::StorageModeShared | options,
                None,
            )
        };
        raw.map(Memory::new)
    }

    /// Encodes a list into one command buffer, also while another one runs: it holds places of memory, not what is there.
    pub fn encode(&self, list: &[Dispatch], bound: &Bound) -> Result<Encoded, Error> {
        let stopped = || Error::Stopped { message: "no command buffer".to_owned() };
        autoreleasepool(|_| {
            let commands = self.queue.commandBuffer().ok_or_else(stopped)?;
            // Of the serial kind: a dispatch sees what the one before wrote.
            let encoder = commands.computeCommandEncoder().ok_or_else(stopped)?;
            let encoded = list.iter().try_for_each(|dispatch| self.encode_one(&encoder, dispatch, bound));
            // An encoder must end before it is dropped, whatever happened.
            encoder.endEncoding();
            encoded?;
            Ok(Encoded(commands))
        })
    }

    fn encode_one(
        &self,
        encoder: &ProtocolObject<dyn MTLComputeCommandEncoder>,
        dispatch: &Dispatch,
        bound: &Bound,
    ) -> Result<(), Error> {
        encoder.setComputePipelineState(self.pipeline(dispatch)?.as_ref());
        // Metal's checks, which Xcode turns on for debug runs, end the app where an argument that a kernel has is bound to nothing.
        let is_plain = |binding: &&Binding| matches!(binding, Binding::Memory(buffer, _) if *buffer != Buffer::Weights);
        let anything = dispatch.bindings.iter().find(is_plain);
        for (index, binding) in dispatch.bindings.iter().enumerate() {
            let binding = if *binding == Binding::Unused { anything.unwrap_or(binding) } else { binding };
            let (memory, offset) = match binding {
                Binding::Constants(words) => {
                    let bytes = NonNull::from(words.as_slice()).cast::<c_void>();
                    // SAFETY: Metal copies the words at once; they are far fewer than its limit of 4 KB.
                    unsafe { encoder.setBytes_length_atIndex(bytes, size_of_val(words.as_slice()), index) };
                    continue;
                }
                Binding::Unused => continue,
                Binding::Memory(Buffer::Weights, offset) => {
                    let found = bound.weights.as_ref().and_then(|weights| weights.find(*offset));
                    found.ok_or(Error::Unbound { buffer: Buffer::Weights })?
                }
                Binding::Memory(buffer, offset) => {
                    (bound.buffers.get(buffer).ok_or(Error::Unbound { buffer: *buffer })?, *offset)
                }
            };
            // SAFETY: the plan's offsets lie within the buffers it asks for, and the command buffer retains this one.
            unsafe { encoder.setBuffer_offset_atIndex(Some(memory.as_ref()), offset as usize, index) };
        }
        if let Some(bytes) = dispatch.threadgroup_bytes {
            // SAFETY: the only index that the shaders use.
            unsafe { encoder.setThreadgroupMemoryLength_atIndex(bytes.next_multiple_of(16) as usize, 0) };
        }
        let size = |[x, y, z]: [u32; 3]| MTLSize { width: x as usize, height: y as usize, depth: z as usize };
        encoder.dispatchThreadgroups_threadsPerThreadgroup(size(dispatch.grid), size([dispatch.threads, 1, 1]));
        Ok(())
    }

    /// The kernel's pipeline, compiled once.
    fn pipeline(&self, dispatch: &Dispatch) -> Result<ComputePipeline, Error> {
        let mut pipelines = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipeline) = pipelines.get(&dispatch.kernel) {
            return Ok(pipeline.clone());
        }
        let kernel = dispatch.kernel.name();
        let failed = |message: String| Error::Kernel { kernel: kernel.clone(), message };
        let function = self.compile()?.get_function(&kernel, None).map_err(|error| failed(error.to_string()))?;
        let pipeline = self.device.new_compute_pipeline_state_with_function(&function);
        let pipeline = pipeline.map_err(|error| failed(error.to_string()))?;
        let threads = pipeline.max_total_threads_per_threadgroup();
        if threads < dispatch.threads as usize {
            return Err(failed(format!("takes {threads} threads at most")));
        }
        pipelines.insert(dispatch.kernel, pipeline.clone());
        Ok(pipeline)
    }
}

impl Weights {
    /// The buffer that holds the whole tensor around a place of the file, and the place in it.
    fn find(&self, offset: u64) -> Option<(&Memory, u64)> {
        let after = self.tensors.partition_point(|tensor| tensor.start <= offset);
        let tensor = self.tensors[..after].last().filter(|tensor| offset < tensor.end)?;
        self.views.iter().find_map(|(view, memory)| view.find(tensor).map(|at| (memory, at + offset - tensor.start)))
    }
}

impl Encoded {
    /// Lets the GPU begin, behind what was started before.
    pub fn start(self) -> Running {
        self.0.commit();
        Running(self)
    }
}

impl Running {
    /// Waits for the GPU.
    pub fn wait(self) -> Result<(), Error> {
        let Self(Encoded(commands)) = self;
        commands.waitUntilCompleted();
        if commands.status() == MTLCommandBufferStatus::Completed {
            return Ok(());
        }
        let message = commands.error().map_or_else(String::new, |error| error.localizedDescription().to_string());
        Err(Error::Stopped { message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_becomes_a_pipeline() {
        const OF_WEIGHTS: &[&str] = &["embed", "matvec", "matvec4", "matmat", "gate_up", "gate_up4", "gate_up_mat"];
        const OF_PAIRS: &[&str] = &["matvec", "matvec4", "matmat"];
        const OF_CACHES: &[&str] = &[
            "cache",
            "attention_64",
            "attention_128",
            "attention_256",
            "attention_mat_64",
            "attention_mat_128",
            "attention_mat_256",
        ];
        const PLAIN: &[&str] = &["attention_merge", "add_normed", "top_k"];
        let Ok(gpu) = Gpu::new() else { return };
        let of =
            |stems: &'static [&'static str], format, last| stems.iter().map(move |stem| Kernel { stem, format, last });
        let weights = crate::Format::ALL.into_iter().flat_map(|format| of(OF_WEIGHTS, Some(format), None));
        let pairs = crate::Format::PAIRS.into_iter().flat_map(|(a, b)| of(OF_PAIRS, Some(a), Some(b)));
        let caches = [crate::Cache::F16, crate::Cache::Q8_0].map(crate::Cache::format);
        let caches = caches.into_iter().flat_map(|format| of(OF_CACHES, Some(format), None));
        let plain = of(PLAIN, None, None);
        for kernel in weights.chain(pairs).chain(caches).chain(plain) {
            let dispatch = Dispatch {
                kernel,
                bindings: Vec::new(),
                grid: [1; 3],
                threads: 128,
                threadgroup_bytes: None,
                bytes: 0,
                operations: 0,
            };
            gpu.prepare(&[dispatch]).expect("Apple's compiler takes it");
        }
    }

    #[test]
    fn wrapped_bytes_are_the_mapping_s_own() {
        let Ok(gpu) = Gpu::new() else { return };
        let layout = std::alloc::Layout::from_size_align(4 * PAGE_BYTES as usize, PAGE_BYTES as usize);
        let layout = layout.expect("a good layout");
        // SAFETY: the layout is not empty.
        let mapping = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) }).expect("64 KB");
        let tensors = vec![5000..20_000, 20_000..60_000];
        // SAFETY: four whole pages, freed behind the last use of the wrapper.
        let weights = unsafe { gpu.wrap(mapping, 60_000, tensors) }.expect("it fits");
        let (memory, at) = weights.find(20_000).expect("a tensor begins there");
        // SAFETY: within the allocation.
        let own = unsafe { mapping.as_ptr().add(20_000) };
        assert_eq!(memory.contents().wrapping_add(at as usize), own);
        drop(weights);
        // SAFETY: allocated above with this layout.
        unsafe { std::alloc::dealloc(mapping.as_ptr(), layout) };
    }
}
