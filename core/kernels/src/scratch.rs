//! Working memory of one worker, allocated once so that kernels never allocate.

/// Bytes a kernel may ask for at most; larger problems are walked in pieces that fit.
pub const MAX_SCRATCH_BYTES: usize = 256 * 1024;

/// One worker's buffer, aligned to 64 bytes. Its contents mean nothing between calls.
#[derive(Debug)]
pub struct Scratch {
    lines: Vec<Line>,
}

/// A cache line, so that the vector is aligned to one.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u8; 64]);

impl Scratch {
    /// Enough for every kernel at every size: `MAX_SCRATCH_BYTES`.
    pub fn new() -> Self {
        Self { lines: vec![Line([0; 64]); MAX_SCRATCH_BYTES / 64] }
    }

    /// The same; none where the system has no memory for it.
    pub fn try_new() -> Option<Self> {
        let mut lines = Vec::new();
        lines.try_reserve_exact(MAX_SCRATCH_BYTES / 64).ok()?;
        lines.resize(MAX_SCRATCH_BYTES / 64, Line([0; 64]));
        Some(Self { lines })
    }

    /// The whole buffer as bytes, 64-byte aligned, `MAX_SCRATCH_BYTES` long.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let len = self.lines.len() * 64;
        // SAFETY: `Line` is 64 plain bytes without padding, and the vector is borrowed for as long as the slice.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), len) }
    }

    /// The whole buffer as floats.
    pub fn f32s_mut(&mut self) -> &mut [f32] {
        let len = self.lines.len() * 16;
        // SAFETY: 64-byte alignment serves f32, every bit pattern is a float, and the vector stays borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), len) }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}
