//! Buffers that the workers of one forward pass write in disjoint parts.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

use memmap2::{MmapOptions, MmapRaw};

use crate::error::Error;
use crate::error::memory::room;

/// From here on memory is mapped instead of taken from the heap: the system has it back at once when it is dropped, and
/// what is never touched costs nothing.
const MAPPED_BYTES: usize = 64 * 1024;

/// A fixed-size buffer of plain numbers, shared by all workers. Who may touch which part when is settled by the stages:
/// between two barriers an element has at most one writer, and no reader besides it.
pub struct Shared<T> {
    data: NonNull<T>,
    len: usize,
    memory: Memory,
    owns: PhantomData<T>,
}

/// Where a buffer's bytes are.
enum Memory {
    Heap(Layout),
    /// A mapping of its own, or a part of one that other buffers have parts of.
    Mapped {
        _whole: Arc<MmapRaw>,
    },
}

// SAFETY: a `Shared` owns its memory, or its part of a mapping, like a `Box<[T]>`; `T` is one of the plain numbers below.
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
    pub fn new(len: usize) -> Result<Self, Error> {
        let bytes = len.max(1).saturating_mul(size_of::<T>());
        let no_memory = || Error::OutOfMemory { what: "buffers", bytes };
        let layout = Layout::from_size_align(bytes, align_of::<T>().max(64)).map_err(|_| no_memory())?;
        if layout.size() >= MAPPED_BYTES
            && let Some(mapped) = Self::mapped(len)
        {
            return Ok(mapped);
        }
        // SAFETY: the layout has a size above zero.
        let data = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or_else(no_memory)?;
        Ok(Self { data: data.cast(), len, memory: Memory::Heap(layout), owns: PhantomData })
    }

    /// `len` zeros on pages of the system of their own; none where it has no memory.
    pub fn mapped(len: usize) -> Option<Self> {
        Self::map(&MmapOptions::new(), len)
    }

    /// [`Self::mapped`], with its pages there from the start on Linux and Android: for what is read before it is written. Each page
    /// would first be the one of zeros, and changing that halts all cores.
    pub fn mapped_whole(len: usize) -> Option<Self> {
        Self::map(MmapOptions::new().populate(), len)
    }

    fn map(options: &MmapOptions, len: usize) -> Option<Self> {
        let bytes = len.max(1).checked_mul(size_of::<T>())?;
        let map = MmapRaw::from(options.clone().len(bytes).map_anon().ok()?);
        // SAFETY: the mapping is the buffer's own.
        unsafe { Self::part_of(&Arc::new(map), 0, len) }
    }

    /// `len` values from `start_bytes` of a mapping; none if they are not whole, aligned values inside it.
    ///
    /// # Safety
    /// Nothing else writes these bytes of the mapping while the buffer lives, nor reads them if the buffer is written.
    pub unsafe fn part_of(map: &Arc<MmapRaw>, start_bytes: usize, len: usize) -> Option<Self> {
        let end = len.checked_mul(size_of::<T>())?.checked_add(start_bytes)?;
        if end > map.len() || !(map.as_ptr().addr() + start_bytes).is_multiple_of(align_of::<T>()) {
            return None;
        }
        let data = NonNull::new(map.as_mut_ptr().wrapping_add(start_bytes))?;
        Some(Self { data: data.cast(), len, memory: Memory::Mapped { _whole: map.clone() }, owns: PhantomData })
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.len * size_of::<T>()
    }

    /// Where it lies, for whoever works on it from outside.
    #[cfg(feature = "metal")]
    pub fn memory(&self) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.data.cast(), self.bytes())
    }

    /// All bytes, in this machine's order.
    ///
    /// # Safety
    /// No worker may write the buffer while the reference lives.
    pub unsafe fn as_bytes(&self) -> &[u8] {
        // SAFETY: the buffer is as long, initialized from the start, and not written by the caller's promise.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr().cast(), self.bytes()) }
    }

    /// Reads a part.
    ///
    /// # Safety
    /// No worker may write any element of `range` while the reference lives.
    pub unsafe fn get(&self, range: Range<usize>) -> &[T] {
        assert!(range.start <= range.end && range.end <= self.len, "part lies inside the buffer");
        // SAFETY: in bounds by the assertion, initialized from the start, unaliased by the caller's promise.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr().add(range.start), range.len()) }
    }

    /// Writes a part.
    ///
    /// # Safety
    /// No other worker may read or write any element of `range` while the reference lives.
    #[expect(clippy::mut_from_ref, reason = "disjoint parts are the purpose of this type")]
    pub unsafe fn get_mut(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "part lies inside the buffer");
        // SAFETY: in bounds by the assertion, initialized from the start, exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr().add(range.start), range.len()) }
    }

    /// All elements; the exclusive borrow shows that no worker is at it.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: `&mut self` excludes every other reference.
        unsafe { self.get_mut(0..self.len) }
    }
}

/// `len` times `value`, where the system has memory for it.
pub fn filled<T: Copy>(len: usize, value: T) -> Result<Vec<T>, Error> {
    let mut values = room(len, "buffers")?;
    values.resize(len, value);
    Ok(values)
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        if let Memory::Heap(layout) = self.memory {
            // SAFETY: allocated in `new` with this layout and not freed since.
            unsafe { dealloc(self.data.as_ptr().cast(), layout) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_any_machine_has_is_an_error() {
        for len in [usize::MAX, usize::MAX / 4, 1 << 60] {
            assert!(matches!(Shared::<f32>::new(len), Err(Error::OutOfMemory { .. })), "{len}");
            assert!(matches!(filled(len, 0f32), Err(Error::OutOfMemory { .. })), "{len}");
        }
        let mut few = Shared::<f32>::new(3).expect("twelve bytes");
        assert_eq!(few.as_mut_slice(), [0.0; 3]);
        assert_eq!(filled(2, 7u16).expect("four bytes"), [7, 7]);
    }
}
