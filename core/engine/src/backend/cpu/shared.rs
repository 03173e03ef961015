//! Buffers that the workers of one forward pass write in disjoint parts.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::NonNull;

/// A fixed-size buffer of plain numbers, shared by all workers. Who may touch which part when is settled by the stages:
/// between two barriers an element has at most one writer, and no reader besides it.
pub struct Shared<T> {
    data: NonNull<T>,
    len: usize,
    align: usize,
    owns: PhantomData<T>,
}

// SAFETY: a `Shared` owns its memory like a `Box<[T]>`; `T` is one of the plain numbers below.
unsafe impl<T: Number> Send for Shared<T> {}
// SAFETY: shared access hands out references only through the unsafe methods, whose callers keep parts disjoint.
unsafe impl<T: Number> Sync for Shared<T> {}

/// Numbers for which all bits zero is zero.
pub trait Number: Copy + Send + Sync + 'static {}
impl Number for f32 {}
impl Number for i8 {}
impl Number for i16 {}
impl Number for u16 {}

impl<T: Number> Shared<T> {
    /// `len` zeros on cache lines of their own.
    pub fn new(len: usize) -> Self {
        Self::aligned(len, 64).unwrap_or_else(|| handle_alloc_error(Layout::new::<T>()))
    }

    /// `len` zeros at a multiple of `align` bytes; none where the system has no memory.
    pub fn aligned(len: usize, align: usize) -> Option<Self> {
        let layout = Self::layout(len, align)?;
        // SAFETY: the layout has a size above zero.
        let data = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Self { data: data.cast(), len, align, owns: PhantomData })
    }

    fn layout(len: usize, align: usize) -> Option<Layout> {
        let bytes = len.max(1).checked_mul(size_of::<T>())?;
        Layout::from_size_align(bytes, align.max(align_of::<T>())).ok()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.len * size_of::<T>()
    }

    /// Reads a part.
    ///
    /// # Safety
    /// No worker may write any element of `range` while the reference lives.
    pub unsafe fn get(&self, range: Range<usize>) -> &[T] {
        assert!(range.start <= range.end && range.end <= self.len, "part lies inside the buffer");
        // SAFETY: in bounds by the assertion, initialized at allocation, unaliased by the caller's promise.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr().add(range.start), range.len()) }
    }

    /// Writes a part.
    ///
    /// # Safety
    /// No other worker may read or write any element of `range` while the reference lives.
    #[expect(clippy::mut_from_ref, reason = "disjoint parts are the purpose of this type")]
    pub unsafe fn get_mut(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "part lies inside the buffer");
        // SAFETY: in bounds by the assertion, initialized at allocation, exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr().add(range.start), range.len()) }
    }

    /// All elements; the exclusive borrow shows that no worker is at it.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: `&mut self` excludes every other reference.
        unsafe { self.get_mut(0..self.len) }
    }

    /// All elements for reading; the exclusive borrow shows that no worker is at it.
    pub fn as_slice(&mut self) -> &[T] {
        self.as_mut_slice()
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let layout = Layout::from_size_align(self.len.max(1) * size_of::<T>(), self.align.max(align_of::<T>()));
        let layout = layout.expect("the same layout was valid at allocation");
        // SAFETY: allocated in `aligned` with this layout and not freed since.
        unsafe { dealloc(self.data.as_ptr().cast(), layout) }
    }
}
