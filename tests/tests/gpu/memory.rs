//! What memory a GPU is lent, and what the host takes to drive it.

use std::collections::HashMap;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sprat::{Backend, Computed};
use sprat_gguf::TensorKind;
use sprat_metal::{Buffer, Dispatch, PAGE_BYTES, Player, Refused};
use sprat_tests::heap::{self, Heap};
use sprat_tests::small::Small;

use crate::players::{context, foreground, open, tokens};

#[global_allocator]
static HEAP: Heap = Heap;

/// Addresses and lengths.
type Lent = Arc<Mutex<HashMap<Buffer, (usize, usize)>>>;

/// Computes nothing: what is allocated beside it is the engine's.
struct Idle(Lent);

impl Idle {
    fn lent(&self) -> MutexGuard<'_, HashMap<Buffer, (usize, usize)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Player for Idle {
    unsafe fn bind(&mut self, buffer: Buffer, memory: NonNull<[u8]>, _: &[Range<u64>]) -> Result<(), Refused> {
        self.lent().insert(buffer, (memory.cast::<u8>().as_ptr() as usize, memory.len()));
        Ok(())
    }

    fn release(&mut self, buffer: Buffer) {
        self.lent().remove(&buffer);
    }

    fn encode(&mut self, _: &[Dispatch]) -> Result<(), Refused> {
        Ok(())
    }

    fn start(&mut self) -> Result<(), Refused> {
        Ok(())
    }

    fn wait(&mut self) -> Result<(), Refused> {
        Ok(())
    }
}

#[test]
fn weights_are_the_file_s_own_pages_and_all_else_is_counted() {
    let _foreground = foreground();
    let lent = Lent::default();
    let path = Small::new("llama", TensorKind::Q4_K).path();
    let model = open(Box::new(Idle(lent.clone())), &path, Backend::Gpu);
    let mut context = context(&model);
    let never = AtomicBool::new(false);
    context.feed(&tokens(200), &never).expect("it runs");
    let mut token = || {
        heap::taken_bytes(|| {
            context.feed(&[7], &never).expect("it runs");
        })
    };
    let (most, _) = (0..30).map(|_| token()).max().expect("some");
    assert!((0..20).all(|_| token().1 == 0), "what a token takes is given back");
    assert_eq!(context.take_computed(), Computed { cpu_tokens: 0, gpu_tokens: 250 });

    let lent = |buffer| lent.lock().unwrap_or_else(PoisonError::into_inner).get(&buffer).copied();
    let (weights, len) = lent(Buffer::Weights).expect("weights are bound");
    assert_eq!(len as u64, path.metadata().expect("a file").len());
    if cfg!(target_os = "linux") {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux has it");
        let line =
            maps.lines().find(|line| line.starts_with(&format!("{weights:x}-"))).expect("a mapping begins there");
        assert!(line.contains(" r--") && line.ends_with(&*path.to_string_lossy()), "{line}");
    }
    let of_passes = [
        Buffer::Tokens,
        Buffer::Angles,
        Buffer::PageTable,
        Buffer::Residual,
        Buffer::Qkv,
        Buffer::Attended,
        Buffer::Hidden,
        Buffer::Logits,
    ];
    let bytes: usize = of_passes.map(|buffer| lent(buffer).expect("a buffer of a pass").1).iter().sum();
    assert_eq!(model.anonymous_bytes(), context.kv_bytes() + context.scratch_bytes() + bytes);
    // Values of 200 tokens, each buffer in whole pages: stream, q/k/v of 4 and 2 heads, heads, hidden, one row of logits.
    let up = |values: usize| (4 * values).next_multiple_of(PAGE_BYTES as usize);
    let of_tokens = [1, 64, 256, 512, 256, 512].map(|values| up(200 * values));
    assert_eq!(bytes, of_tokens.iter().sum::<usize>() + up(2 * 4) + up(320));
    println!("{bytes} bytes of buffers after 200 tokens at once; {most} bytes of heap while a token is computed");
    assert!(most < 16_000, "two layers: {most} bytes");
    context.release_scratch();
    assert_eq!(model.anonymous_bytes(), context.kv_bytes());
}
