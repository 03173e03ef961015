//! One register of floats: the small part of each set that is written with intrinsics (f16, attention tiles).

use half::f16;

/// A register of `WIDTH` floats. Every operation is the IEEE 754 one on each lane, so all sets give the same bits.
///
/// The methods of a set's type use its CPU features: they are called only from that set's stamped kernels, into which
/// they are inlined.
pub(crate) trait Vector: Copy {
    /// Lanes; divides 16.
    const WIDTH: usize;
    /// In how many rounds the registers fit a score tile of 16 sums: 1 with 32 registers, 2 with 16.
    const ROUNDS: usize;

    /// All lanes 0.
    fn zero() -> Self;
    /// All lanes `x`.
    fn splat(x: f32) -> Self;
    /// `WIDTH` floats.
    ///
    /// # Safety
    /// `from` is readable for `WIDTH` floats.
    unsafe fn load(from: *const f32) -> Self;
    /// `WIDTH` half-precision floats, exactly.
    ///
    /// # Safety
    /// `from` is readable for `WIDTH` values.
    unsafe fn widen(from: *const u16) -> Self;
    /// Asks for memory that will be read soon; has no effect but on speed.
    fn ask(from: *const u8, bytes: usize);
    /// Writes `WIDTH` floats.
    ///
    /// # Safety
    /// `to` is writable for `WIDTH` floats.
    unsafe fn store(self, to: *mut f32);
    /// Writes `WIDTH` half-precision floats, rounded to nearest, ties to even.
    ///
    /// # Safety
    /// `to` is writable for `WIDTH` values.
    unsafe fn narrow(self, to: *mut u16);
    /// `self + other`.
    fn add(self, other: Self) -> Self;
    /// `self * other`.
    fn mul(self, other: Self) -> Self;
    /// `self * b + c`, rounded once.
    fn fma(self, b: Self, c: Self) -> Self;
    /// Each register folded to one sum: `i + (i + WIDTH / 2)`, and so on down to 1.
    fn fold(sums: [Self; 16]) -> [f32; 16];
}

/// Half precision to floats; both `[n]`.
#[inline(always)]
pub(crate) fn load_f16<V: Vector>(x: &[u16], out: &mut [f32]) {
    let n = x.len().min(out.len());
    let whole = n - n % V::WIDTH;
    for i in (0..whole).step_by(V::WIDTH) {
        // SAFETY: `i + WIDTH <= whole`, which is inside both.
        unsafe { V::widen(x.as_ptr().add(i)).store(out.as_mut_ptr().add(i)) }
    }
    for (out, &x) in out[whole..n].iter_mut().zip(&x[whole..n]) {
        *out = f16::from_bits(x).to_f32();
    }
}

/// Floats to half precision; both `[n]`.
#[inline(always)]
pub(crate) fn store_f16<V: Vector>(x: &[f32], out: &mut [u16]) {
    let n = x.len().min(out.len());
    let whole = n - n % V::WIDTH;
    for i in (0..whole).step_by(V::WIDTH) {
        // SAFETY: `i + WIDTH <= whole`, which is inside both.
        unsafe { V::load(x.as_ptr().add(i)).narrow(out.as_mut_ptr().add(i)) }
    }
    for (out, &x) in out[whole..n].iter_mut().zip(&x[whole..n]) {
        *out = f16::from_f32(x).to_bits();
    }
}
