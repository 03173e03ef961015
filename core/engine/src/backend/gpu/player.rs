//! What a player is bound to: the mapped file, the arena of the caches, and the buffers of passes.

use std::collections::HashMap;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

use sprat_metal::{Buffer, Cache, Dispatch, MAX_K, Model, PAGE_BYTES, Player, Refused};

use super::{Fault, Left, Pass, cache_of};
use crate::backend::cpu::{Arena, Charge, Ledger, PAGE, Shared};
use crate::file::MappedFile;

/// The buffers that passes write or are told by, besides weights and pages.
const OF_A_PASS: [Buffer; 12] = [
    Buffer::Tokens,
    Buffer::Angles,
    Buffer::Residual,
    Buffer::Qkv,
    Buffer::Attended,
    Buffer::Partials,
    Buffer::Hidden,
    Buffer::Logits,
    Buffer::TopValues(false),
    Buffer::TopValues(true),
    Buffer::TopIndices(false),
    Buffer::TopIndices(true),
];

/// A player and the memory that it works on.
pub struct Bound {
    player: Box<dyn Player>, // before the memory, so that it goes first
    plan: Model,
    buffers: HashMap<Buffer, Memory>,
    pages: Option<NonNull<[u8]>>,
    /// The pass all of whose list the player has ready, and which of the buffers of the best tokens it leaves them in.
    ready: Option<(Shape, bool)>,
    arena: Arc<Arena>,
    _file: Arc<MappedFile>,
}

// SAFETY: `pages` is an address to compare with; the memory itself belongs to the arena, which threads may share.
unsafe impl Send for Bound {}

/// All that the list of a model's pass depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pass: sprat_metal::Pass,
    cache: Cache,
}

/// A buffer, in whole pages; integers stand in it as bits.
struct Memory {
    data: Shared<f32>,
    _charge: Charge,
}

impl Bound {
    /// Binds the weights.
    pub fn new(
        mut player: Box<dyn Player>,
        plan: Model,
        file: Arc<MappedFile>,
        arena: Arc<Arena>,
        tensors: &[Range<u64>],
    ) -> Result<Self, Refused> {
        // SAFETY: a read-only mapping that this keeps for longer than the player.
        unsafe { player.bind(Buffer::Weights, NonNull::from(file.bytes()), tensors) }?;
        Ok(Self { player, plan, buffers: HashMap::new(), pages: None, ready: None, arena, _file: file })
    }

    /// Binds what a pass needs and writes what it is told by.
    pub fn prepare(&mut self, pass: &Pass<'_>) -> Result<Shape, Fault> {
        let (first, end) = (pass.cache.len(), pass.cache.len() + pass.tokens.len());
        let format = pass.cache.format();
        let cache = cache_of(format).ok_or_else(|| Fault::Refused(format!("no shaders for a cache of {format:?}")))?;
        let shape = sprat_metal::Pass {
            tokens: number(pass.tokens.len()),
            first: number(first),
            wanted: number(pass.wanted),
            top_k: pass.likeliest.map(number).filter(|&k| pass.wanted == 1 && k <= MAX_K),
        };
        for buffer in OF_A_PASS {
            // A list names none that it has nothing for.
            let bytes = self.plan.buffer_bytes(buffer, &shape).expect("a buffer of a pass");
            if bytes > 0 {
                self.buffer(buffer, bytes as usize, pass.ledger)?;
            }
        }
        let tokens = self.buffer(Buffer::Tokens, 0, pass.ledger)?;
        pass.tokens.iter().zip(tokens).for_each(|(&token, place)| *place = f32::from_bits(token));
        let pairs = pass.ropes[0].pairs();
        let (mut cos, mut sin) = (vec![0.0; pairs], vec![0.0; pairs]);
        let angles = self.buffer(Buffer::Angles, 0, pass.ledger)?;
        let rows = pass.ropes.iter().flat_map(|rope| (first..end).map(move |position| (rope, position)));
        for ((rope, position), angles) in rows.zip(angles.chunks_exact_mut((2 * pairs).max(1))) {
            rope.angles(position, &mut cos, &mut sin);
            for ((pair, &cos), &sin) in angles.chunks_exact_mut(2).zip(&cos).zip(&sin) {
                pair.copy_from_slice(&[cos, sin]);
            }
        }
        let max_pages = end.div_ceil(PAGE);
        let table = self.buffer(Buffer::PageTable, 4 * self.plan.layers.len() * max_pages, pass.ledger)?;
        for (places, row) in pass.cache.places().zip(table.chunks_exact_mut(max_pages)) {
            let unit = |start_bytes: usize| f32::from_bits(number(start_bytes / PAGE_BYTES as usize));
            places.zip(row).for_each(|(place, entry)| *entry = unit(place));
        }
        self.bind_pages()?;
        Ok(Shape { pass: shape, cache })
    }

    /// The dispatches of a pass, and which of the buffers of the best tokens they leave them in.
    pub fn list(&mut self, shape: Shape) -> (Vec<Dispatch>, bool) {
        self.plan.max_pages = (shape.pass.first + shape.pass.tokens).div_ceil(number(PAGE));
        self.plan.cache = shape.cache;
        self.plan.pass(&shape.pass)
    }

    /// If all of a pass's list is ready, which of the buffers of the best tokens it leaves them in.
    pub fn ready(&self, shape: Shape) -> Option<bool> {
        self.ready.filter(|(ready, _)| *ready == shape).map(|(_, turn)| turn)
    }

    /// Makes dispatches ready.
    pub fn encode(&mut self, list: &[Dispatch]) -> Result<(), Fault> {
        self.ready = None;
        Ok(self.player.encode(list)?)
    }

    /// Makes ready what the token behind a pass will need, if the pass leaves the logits of its last token alone.
    pub fn encode_token_behind(&mut self, Shape { pass, cache }: Shape) -> Result<(), Fault> {
        let next = sprat_metal::Pass { tokens: 1, first: pass.first + pass.tokens, ..pass };
        let next = Shape { pass: next, cache };
        if pass.wanted == 1 {
            let (list, turn) = self.list(next);
            self.encode(&list)?;
            self.ready = Some((next, turn));
        }
        Ok(())
    }

    /// Runs what is ready; `meanwhile` makes something else ready.
    pub fn run(&mut self, meanwhile: impl FnOnce(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        self.ready = None;
        self.player.start()?;
        let encoded = meanwhile(self);
        self.player.wait()?;
        encoded
    }

    /// What a pass leaves.
    pub fn left(&mut self, shape: Shape, turn: bool) -> Left<'_> {
        let Some(k) = shape.pass.top_k else {
            let len = shape.pass.wanted as usize * self.plan.output.rows as usize;
            let logits = self.buffers.get_mut(&Buffer::Logits).map(|memory| memory.data.as_mut_slice());
            return Left::Logits(logits.map_or(&mut [], |logits| &mut logits[..len]));
        };
        let mut held = |buffer| {
            let memory = self.buffers.get_mut(&buffer).map(|memory| &*memory.data.as_mut_slice());
            memory.unwrap_or_default()[..k as usize].to_vec()
        };
        let (ids, logits) = (held(Buffer::TopIndices(turn)), held(Buffer::TopValues(turn)));
        let ids = ids.into_iter().map(f32::to_bits);
        // Fewer may be possible than were asked for.
        Left::Likeliest(ids.zip(logits).filter(|(id, _)| *id < self.plan.output.rows).collect())
    }

    /// Gives back all buffers but weights and pages.
    pub fn release(&mut self) {
        self.ready = None;
        for (buffer, memory) in self.buffers.drain() {
            self.player.release(buffer);
            drop(memory);
        }
    }

    /// A buffer of at least `bytes`, which is bound anew if it has to grow. Grown ones hold zeros.
    fn buffer(&mut self, buffer: Buffer, bytes: usize, ledger: &Arc<Ledger>) -> Result<&mut [f32], Fault> {
        let bytes = bytes.max(1).next_multiple_of(PAGE_BYTES as usize);
        if self.buffers.get(&buffer).is_none_or(|memory| memory.data.bytes() < bytes) {
            let charge =
                ledger.charge("buffers of the GPU", bytes).map_err(|error| Fault::Refused(error.to_string()))?;
            let data = Shared::mapped(bytes / size_of::<f32>());
            let data = data.ok_or_else(|| Fault::Refused(format!("no memory for {bytes} bytes")))?;
            self.ready = None;
            // SAFETY: a mapping of its own in whole pages of the system. It stays until the next one is bound: it is put in the
            // place of the old one after that, or goes at once if the player refuses it. Only `prepare` and `left` touch it,
            // and neither while a list runs: `run` waits for its end, and what it does meanwhile only encodes.
            unsafe { self.player.bind(buffer, data.memory(), &[]) }?;
            self.buffers.insert(buffer, Memory { data, _charge: charge });
        }
        Ok(self.buffers.get_mut(&buffer).map_or(&mut [], |memory| memory.data.as_mut_slice()))
    }

    /// Binds the arena as far as pages lie in it.
    fn bind_pages(&mut self) -> Result<(), Fault> {
        let reached = self.arena.reached();
        if self.pages != Some(reached) {
            self.ready = None;
            // SAFETY: mapped as long as the arena, which this keeps. While a list runs, its sequence waits; those of others
            // write pages of their own only, and the list none of theirs.
            unsafe { self.player.bind(Buffer::Pages, reached, &[]) }?;
            self.pages = Some(reached);
        }
        Ok(())
    }
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused.reason)
    }
}

/// Tokens, positions and pages are far below 32 bits.
fn number(x: usize) -> u32 {
    u32::try_from(x).expect("a count of a pass")
}
