//! The system's allocator, counting: for test binaries that make it theirs.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// `#[global_allocator] static HEAP: Heap = Heap;`
pub struct Heap;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static HELD_BYTES: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Bytes that this thread allocated less those that it freed, and the most they ever were.
    static OWN: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

/// Allocations since the process began.
pub fn allocations() -> usize {
    ALLOCATIONS.load(Relaxed)
}

/// Bytes that were allocated and not freed.
pub fn held_bytes() -> usize {
    HELD_BYTES.load(Relaxed)
}

/// Makes glibc give the system what is free in the middle of its heap too.
pub fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Bytes that this thread takes from the heap while it does something: at most, and what it has not given back at the end.
pub fn taken_bytes(work: impl FnOnce()) -> (usize, isize) {
    let (before, _) = OWN.get();
    OWN.set((before, before));
    work();
    let (held, most) = OWN.get();
    (most.abs_diff(before), held - before)
}

/// Counts what this thread took or gave back. A thread that ends has nobody to tell.
fn count(bytes: isize) {
    let _told = OWN.try_with(|own| {
        let (held, most) = own.get();
        own.set((held + bytes, most.max(held + bytes)));
    });
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        HELD_BYTES.fetch_add(layout.size(), Relaxed);
        count(layout.size() as isize);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD_BYTES.fetch_sub(layout.size(), Relaxed);
        count(-(layout.size() as isize));
        // SAFETY: passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}
