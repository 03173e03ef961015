//! One worker's part of a forward pass. The stages of a layer, each a parallel region with a barrier behind it, stand in
//! files of their own beside this one.

use std::ops::Range;

use sprat_kernels::Isa;

use super::ahead::PageWatch;
use super::buffers::{Buffers, Local};
use super::kv::KvCache;
use super::pool::Team;
use super::shared::Shared;
use crate::config::{Config, NormKind, Rope};
use crate::file::MappedFile;
use crate::weights::{Norm, Weights};

/// Weight bytes of one piece of work: a slow core costs at most one piece, and the shared counter stays cold.
pub const CHUNK_BYTES: usize = 48 * 1024;

/// What all workers of a pass read.
pub struct Pass<'a> {
    /// The kernels.
    pub isa: &'static Isa,
    /// The model's dimensions.
    pub config: &'a Config,
    /// The model's tensors.
    pub weights: &'a Weights,
    /// One for each of [`Config::ropes`].
    pub ropes: &'a [Rope],
    /// The mapped file.
    pub file: &'a MappedFile,
    /// Whether its pages are there.
    pub watch: &'a PageWatch,
    /// Token ids of this pass, at most [`Buffers::rows`].
    pub tokens: &'a [u32],
    /// Which of `tokens` need logits: the last so many.
    pub wanted: usize,
    /// The cache, with room reserved for all of `tokens`.
    pub cache: &'a KvCache,
    /// The memory to work in.
    pub buffers: &'a Buffers,
    /// Logits of the wanted tokens, `[wanted, vocabulary]`; none are written if they go to `head`.
    pub logits: &'a Shared<f32>,
    /// What takes the logits of the one wanted token piece by piece.
    pub head: Option<&'a dyn Head>,
}

/// Takes logits as they are computed, so that they need never all be in memory.
pub trait Head: Sync {
    /// The logits of ids from `first` on, which worker `worker` computed; its next ids are higher. They may be changed.
    fn take(&self, worker: usize, first: usize, logits: &mut [f32]);

    /// How many of the likeliest tokens would do, if it leaves logits as they are.
    #[cfg(feature = "metal")]
    fn likeliest(&self) -> Option<usize>;

    /// So many of the likeliest tokens and their logits, or all that are possible, in place of all logits.
    #[cfg(feature = "metal")]
    fn take_likeliest(&self, tokens: &[(u32, f32)]);
}

impl Pass<'_> {
    /// `x` normed as the family does it. Both are as long as the norm's weights.
    pub(super) fn norm(&self, norm: &Norm, x: &[f32], out: &mut [f32]) {
        let (weight, eps) = (Some(norm.weight.get(self.file)), self.config.norm_eps);
        match self.config.spec.norm {
            NormKind::Rms => self.isa.rms_norm(x, weight, eps, out),
            NormKind::Layer => {
                let bias = norm.bias.as_ref().map(|bias| bias.get(self.file));
                self.isa.layer_norm(x, weight, bias, eps, out);
            }
        }
    }
}

/// One worker inside a pass.
///
/// Safety of the shared buffers, in one place: every stage writes only rows, heads or columns of the chunks that
/// `Team::chunk` handed to this worker alone, reads only what earlier stages wrote, and ends with a barrier.
pub struct Worker<'a> {
    pub(super) pass: &'a Pass<'a>,
    pub(super) team: &'a Team<'a>,
    pub(super) local: &'a mut Local,
    /// Tokens of the pass that are still carried: all, and after the last cache write the wanted ones.
    pub(super) rows: Range<usize>,
}
impl<'a> Worker<'a> {
    /// A worker about to begin.
    pub fn new(pass: &'a Pass<'a>, team: &'a Team<'a>, local: &'a mut Local) -> Self {
        Self { pass, team, local, rows: 0..pass.tokens.len() }
    }

    /// Whether each worker carries the one remaining token by itself.
    pub(super) fn single(&self) -> bool {
        self.rows.len() == 1
    }

    /// How many layers the model has.
    pub fn layers(&self) -> usize {
        self.pass.weights.layers.len()
    }

    /// Whether no token's logits are wanted.
    pub fn nothing_wanted(&self) -> bool {
        self.pass.wanted == 0
    }
}
