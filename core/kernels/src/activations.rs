//! The vectors weights are multiplied with: plain floats, or 8-bit integers with a scale per 32 or per 256 values.

/// How the activations of a matmul are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(non_camel_case_types, reason = "named like the formats they are multiplied with")]
pub enum ActivationKind {
    /// Plain floats.
    F32,
    /// Signed 8 bits with a scale and a sum per 32 values.
    Q8_32,
    /// Signed 8 bits with a scale per 256 values and a sum per 16.
    Q8_256,
}

impl ActivationKind {
    /// Values that share a scale; `k` is a multiple of it.
    pub const fn block_len(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Q8_32 => 32,
            Self::Q8_256 => 256,
        }
    }

    /// Values that share an entry of `s` (1 where there is none).
    pub const fn sum_len(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Q8_32 => 32,
            Self::Q8_256 => 16,
        }
    }

    /// How many magnitudes `n` values have: of every block of 256 the largest sum of `|q|` over 16 values that follow each other,
    /// a bound of sums of products; other kinds have none.
    pub const fn magnitudes(self, n: usize) -> usize {
        match self {
            Self::F32 | Self::Q8_32 => 0,
            Self::Q8_256 => n / 256,
        }
    }
}

/// A view of `t` token vectors of length `k` as one activation kind; rows are contiguous.
#[derive(Clone, Copy, Debug)]
pub struct Activations<'a> {
    kind: ActivationKind,
    t: usize,
    k: usize,
    f: &'a [f32],
    q: &'a [i8],
    d: &'a [f32],
    s: &'a [i16],
    m: &'a [u16],
}

impl<'a> Activations<'a> {
    /// Plain floats, `f` `[t, k]`. Panics if the length is not `t * k`.
    pub fn f32(t: usize, k: usize, f: &'a [f32]) -> Self {
        assert_eq!(Some(f.len()), t.checked_mul(k), "activations: f is [t, k]");
        Self { kind: ActivationKind::F32, t, k, f, q: &[], d: &[], s: &[], m: &[] }
    }

    /// Quantized activations as `Isa::quantize` makes them: `q` `[t, k]` in -127..=127, `d` `[t, k / 32]` or
    /// `[t, k / 256]`, `s` the sums of `q` `[t, k / 32]` or `[t, k / 16]`, `m` what `ActivationKind::magnitudes` says.
    /// Kernels rely on `s`, `m` and on `q != -128` for their result, never for memory safety. Panics if a length differs
    /// or `k` is no multiple of the block.
    pub fn quantized(
        kind: ActivationKind,
        t: usize,
        k: usize,
        q: &'a [i8],
        d: &'a [f32],
        s: &'a [i16],
        m: &'a [u16],
    ) -> Self {
        assert!(kind != ActivationKind::F32, "activations: f32 has no quantized form");
        assert!(k.is_multiple_of(kind.block_len()), "activations: k is a multiple of the block");
        assert_eq!(Some(q.len()), t.checked_mul(k), "activations: q is [t, k]");
        assert_eq!(d.len(), t * (k / kind.block_len()), "activations: d is [t, k / block]");
        assert_eq!(s.len(), t * (k / kind.sum_len()), "activations: s is [t, k / 32] or [t, k / 16]");
        assert_eq!(m.len(), kind.magnitudes(t * k), "activations: m is [t, k / 256] or empty");
        Self { kind, t, k, f: &[], q, d, s, m }
    }

    /// The kind.
    pub fn kind(&self) -> ActivationKind {
        self.kind
    }

    /// Number of tokens.
    pub fn t(&self) -> usize {
        self.t
    }

    /// Length of each token's vector.
    pub fn k(&self) -> usize {
        self.k
    }

    /// `[t, k]` floats; empty for the quantized kinds.
    pub fn f(&self) -> &'a [f32] {
        self.f
    }

    /// `[t, k]` integers; empty for `F32`.
    pub fn q(&self) -> &'a [i8] {
        self.q
    }

    /// `[t, k / 32]` or `[t, k / 256]` scales; empty for `F32`.
    pub fn d(&self) -> &'a [f32] {
        self.d
    }

    /// `[t, k / 32]` or `[t, k / 16]` sums of `q`; empty for `F32`.
    pub fn s(&self) -> &'a [i16] {
        self.s
    }

    /// `[t, k / 256]` magnitudes; empty but for `Q8_256`.
    pub fn m(&self) -> &'a [u16] {
        self.m
    }

    /// The same view of tokens `from..to` alone. Panics if they are not inside.
    pub fn tokens(&self, from: usize, to: usize) -> Self {
        assert!(from <= to && to <= self.t, "activations: tokens inside");
        let (k, b, g) = (self.k, self.k / self.kind.block_len(), self.k / self.kind.sum_len());
        let t = to - from;
        match self.kind {
            ActivationKind::F32 => Self { t, f: &self.f[from * k..to * k], ..*self },
            _ => Self {
                t,
                q: &self.q[from * k..to * k],
                d: &self.d[from * b..to * b],
                s: &self.s[from * g..to * g],
                m: &self.m[self.kind.magnitudes(from * k)..self.kind.magnitudes(to * k)],
                ..*self
            },
        }
    }
}
