//! Float kernels without vector instructions: the reference.

use half::f16;

use crate::float::FloatOps;
use crate::float::stamp::float_ops;
use crate::float::vector::Vector;

/// The scalar float table.
pub(crate) const FLOAT: FloatOps = float_ops!(Lanes);

/// 16 floats in an array.
#[derive(Clone, Copy)]
pub(crate) struct Lanes([f32; 16]);

impl Vector for Lanes {
    const WIDTH: usize = 16;
    const ROUNDS: usize = 1;

    fn zero() -> Self {
        Self([0.0; 16])
    }

    fn splat(x: f32) -> Self {
        Self([x; 16])
    }

    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller promises 16 readable floats.
        Self(unsafe { from.cast::<[f32; 16]>().read() })
    }

    unsafe fn widen(from: *const u16) -> Self {
        // SAFETY: the caller promises 16 readable values.
        let half = unsafe { from.cast::<[u16; 16]>().read() };
        Self(half.map(|x| f16::from_bits(x).to_f32()))
    }

    fn ask(_: *const u8, _: usize) {}

    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller promises 16 writable floats.
        unsafe { to.cast::<[f32; 16]>().write(self.0) }
    }

    unsafe fn narrow(self, to: *mut u16) {
        // SAFETY: the caller promises 16 writable values.
        unsafe { to.cast::<[u16; 16]>().write(self.0.map(|x| f16::from_f32(x).to_bits())) }
    }

    fn add(mut self, other: Self) -> Self {
        for (x, y) in self.0.iter_mut().zip(other.0) {
            *x += y;
        }
        self
    }

    fn mul(mut self, other: Self) -> Self {
        for (x, y) in self.0.iter_mut().zip(other.0) {
            *x *= y;
        }
        self
    }

    // A call each: unrolled, they would make the largest function of the library.
    #[inline(never)]
    fn fma(mut self, b: Self, c: Self) -> Self {
        for ((a, b), c) in self.0.iter_mut().zip(b.0).zip(c.0) {
            *a = a.mul_add(b, c);
        }
        self
    }

    fn fold(sums: [Self; 16]) -> [f32; 16] {
        sums.map(|sum| crate::float::fold(sum.0))
    }
}
