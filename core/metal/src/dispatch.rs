//! One step of a pass as data.

use crate::formats::Format;

/// Which memory a binding lies in. All of it is shared between CPU and GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Buffer {
    /// The mapped model file; offsets are the file's.
    Weights,
    /// Tokens of the pass, u32 `[t]`.
    Tokens,
    /// cos and sin of each pair at each position of the pass, f32 `[ropes, t, pairs, 2]`.
    Angles,
    /// Pages of keys and values; places are multiples of 16 KB.
    Pages,
    /// Where each layer's pages lie, in units of 16 KB, u32 `[layers, max_pages]`.
    PageTable,
    /// Residual stream, f32 `[t, dim]`.
    Residual,
    /// Queries, keys and values, f32 `[t, (n_heads + n_kv_heads) * head_dim + n_kv_heads * value_dim]`.
    Qkv,
    /// What attention found, f32 `[t, n_heads * value_dim]`; what the feed-forward part puts out, `[t, dim]`, before its norm.
    Attended,
    /// Slices of attention before they are joined, f32 `[slices, t * n_heads, 2 + value_dim]`.
    Partials,
    /// Hidden values of the feed-forward part, f32 `[t, feed_forward]`; attention's output, `[t, dim]`, before its norm.
    Hidden,
    /// Logits, f32 `[wanted, vocabulary]`.
    Logits,
    /// Values of the best tokens, f32; in the end the first k are the result. Two that take turns.
    TopValues(bool),
    /// Their tokens, u32.
    TopIndices(bool),
}

/// What a kernel's argument is bound to, in the order of its `[[buffer(n)]]`.
#[derive(Clone, Debug, PartialEq)]
pub enum Binding {
    /// Memory from an offset in bytes on.
    Memory(Buffer, u64),
    /// The fields of the kernel's `Args`, 4 bytes each.
    Constants(Vec<u32>),
    /// Not used with these constants: anything may be bound.
    Unused,
}

/// A kernel of the shaders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// Its name, without the format's suffix.
    pub stem: &'static str,
    /// Of the weights, or of the cache, that it works on.
    pub format: Option<Format>,
    /// Of the last matrix, where it has a format of its own.
    pub last: Option<Format>,
}

impl Kernel {
    /// What the shader calls it.
    pub fn name(self) -> String {
        let formats = [self.format, self.last].into_iter().flatten();
        formats.fold(self.stem.to_owned(), |name, format| name + "_" + format.suffix())
    }
}

/// One step: the GPU finishes it before the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispatch {
    /// What runs.
    pub kernel: Kernel,
    /// Its arguments.
    pub bindings: Vec<Binding>,
    /// Threadgroups in each dimension.
    pub grid: [u32; 3],
    /// Threads of a threadgroup.
    pub threads: u32,
    /// Bytes of threadgroup memory 0; none where the kernel has none.
    pub threadgroup_bytes: Option<u32>,
    /// Bytes that have to come from or go to memory: each input and output once, weights as often as they are walked over.
    pub bytes: u64,
    /// Multiplications and additions of the products in it, each counted; what unpacks, norms and rotates is not.
    pub operations: u64,
}
