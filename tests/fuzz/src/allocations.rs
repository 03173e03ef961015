//! An allocator that ends the process where more is asked for at once than the input allows.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Bounded;

#[global_allocator]
static ALLOCATOR: Bounded = Bounded;

/// The most that one allocation may take, in bytes.
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Runs `work`, during which no allocation of any thread may exceed `limit_bytes`.
pub fn bounded<T>(limit_bytes: usize, work: impl FnOnce() -> T) -> T {
    LIMIT.store(limit_bytes, Ordering::Relaxed);
    let result = work();
    LIMIT.store(usize::MAX, Ordering::Relaxed);
    result
}

fn check(bytes: usize) {
    // What says where a panic was may take more.
    if bytes > LIMIT.load(Ordering::Relaxed) && !std::thread::panicking() {
        LIMIT.store(usize::MAX, Ordering::Relaxed);
        panic!("an allocation of {bytes} bytes");
    }
}

// SAFETY: the system's allocator does the work; a panic before it allocates nothing.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        check(new_size);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}
