//! Players that tests put between the engine and the GPU, and what tests share.

use std::ops::Range;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use sprat::{Backend, Context, ContextOptions, GenerationOptions, Model, OpenOptions, SamplerOptions};
use sprat_metal::{Buffer, Dispatch, Player, Refused};
use sprat_tests::small::{Random, VOCABULARY};

/// The GPU there is.
pub fn gpu() -> Box<dyn Player> {
    #[cfg(target_vendor = "apple")]
    let player = sprat_metal::device::Device::new().expect("a Mac's GPU");
    #[cfg(not(target_vendor = "apple"))]
    let player = crate::emulated::Emulated::new();
    Box::new(player)
}

/// The app's place is the whole process's: tests that send it to the background run alone.
static PLACE: RwLock<()> = RwLock::new(());

/// Held by a test that wants to stay in the foreground.
pub fn foreground() -> RwLockReadGuard<'static, ()> {
    PLACE.read().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a test that nobody else runs beside.
pub fn alone<T>(test: impl FnOnce() -> T) -> T {
    let _alone = PLACE.write().unwrap_or_else(PoisonError::into_inner);
    test()
}

/// What a watched player does with a list.
pub enum Then {
    /// Plays it.
    Play,
    /// Plays the first half and refuses.
    Break,
}

/// A GPU that asks before each list is started; it tells how many were before.
struct Watched<F> {
    gpu: Box<dyn Player>,
    lists: usize,
    ready: Vec<Dispatch>,
    is_broken: bool,
    ask: F,
}

/// The GPU there is, watched.
pub fn watched(ask: impl FnMut(usize) -> Then + Send + 'static) -> Box<dyn Player> {
    Box::new(Watched { gpu: gpu(), lists: 0, ready: Vec::new(), is_broken: false, ask })
}

impl<F: FnMut(usize) -> Then + Send> Player for Watched<F> {
    unsafe fn bind(&mut self, buffer: Buffer, memory: NonNull<[u8]>, tensors: &[Range<u64>]) -> Result<(), Refused> {
        // SAFETY: passed on to the caller.
        unsafe { self.gpu.bind(buffer, memory, tensors) }
    }

    fn release(&mut self, buffer: Buffer) {
        self.gpu.release(buffer);
    }

    fn encode(&mut self, list: &[Dispatch]) -> Result<(), Refused> {
        self.ready = list.to_vec();
        self.gpu.encode(list)
    }

    fn start(&mut self) -> Result<(), Refused> {
        self.lists += 1;
        self.is_broken = matches!((self.ask)(self.lists - 1), Then::Break);
        if self.is_broken {
            self.gpu.encode(&self.ready[..self.ready.len() / 2])?;
        }
        self.gpu.start()
    }

    fn wait(&mut self) -> Result<(), Refused> {
        self.gpu.wait()?;
        if self.is_broken { Err(Refused { reason: "broken on purpose".into() }) } else { Ok(()) }
    }
}

/// A GPU that refuses: memory, or lists alone. It counts what it is asked.
pub struct Refusing {
    pub memory: bool,
    pub asked: Arc<AtomicUsize>,
}

impl Refusing {
    fn refuse(&self) -> Result<(), Refused> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Err(Refused { reason: "not today".into() })
    }
}

impl Player for Refusing {
    unsafe fn bind(&mut self, _: Buffer, _: NonNull<[u8]>, _: &[Range<u64>]) -> Result<(), Refused> {
        if self.memory { self.refuse() } else { Ok(()) }
    }

    fn release(&mut self, _: Buffer) {}

    fn encode(&mut self, _: &[Dispatch]) -> Result<(), Refused> {
        Ok(())
    }

    fn start(&mut self) -> Result<(), Refused> {
        self.refuse()
    }

    fn wait(&mut self) -> Result<(), Refused> {
        Ok(())
    }
}

/// A file opened on a player.
pub fn open(player: Box<dyn Player>, path: impl AsRef<Path>, backend: Backend) -> Arc<Model> {
    let options = OpenOptions { backend, ..OpenOptions::default() };
    Arc::new(Model::open_on(player, path.as_ref(), &options).expect("a good file"))
}

/// The same on the CPU.
pub fn on_cpu(path: impl AsRef<Path>) -> Arc<Model> {
    let options = OpenOptions { backend: Backend::Cpu, ..OpenOptions::default() };
    Arc::new(Model::open_with(path.as_ref(), &options).expect("a good file"))
}

/// An empty context.
pub fn context(model: &Arc<Model>) -> Context {
    Context::new(model.clone(), &ContextOptions::default()).expect("good options")
}

/// Some token ids.
pub fn tokens(n: usize) -> Vec<u32> {
    let mut random = Random(11);
    (0..n).map(|_| random.below(VOCABULARY) as u32).collect()
}

/// The likeliest tokens, so many, one by one: whether guesses pay is a matter of time.
pub fn greedy(max_tokens: usize) -> GenerationOptions {
    GenerationOptions { max_tokens, sampler: SamplerOptions::greedy(), guess: false, ..GenerationOptions::default() }
}
