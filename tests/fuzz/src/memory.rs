//! An allocator with a limit for each input. libFuzzer's own `-malloc_limit_mb` sees nothing without a sanitizer.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What one input may hold at a time. No input is larger than a few kilobytes.
const LIMIT: usize = 32 << 20;

/// The first inputs also load models.
const LIMIT_AT_START: usize = 256 << 20;
const STARTING: usize = 100;

static HELD: AtomicUsize = AtomicUsize::new(0);
static HELD_BEFORE: AtomicUsize = AtomicUsize::new(0);
static INPUTS: AtomicUsize = AtomicUsize::new(0);

/// Counts, and ends the process when an input holds more than it may.
#[derive(Debug)]
pub struct Limited;

/// An input begins.
pub fn start() {
    INPUTS.fetch_add(1, Ordering::Relaxed);
    HELD_BEFORE.store(HELD.load(Ordering::Relaxed), Ordering::Relaxed);
}

fn take(bytes: usize) {
    let held = HELD.fetch_add(bytes, Ordering::Relaxed) + bytes;
    let by_input = held.saturating_sub(HELD_BEFORE.load(Ordering::Relaxed));
    if by_input > LIMIT && by_input > limit() && !std::thread::panicking() {
        // What tells of a finding also allocates.
        HELD_BEFORE.store(usize::MAX, Ordering::Relaxed);
        panic!("an input made the process hold {by_input} bytes");
    }
}

fn limit() -> usize {
    if INPUTS.load(Ordering::Relaxed) < STARTING {
        LIMIT_AT_START
    } else {
        LIMIT
    }
}

fn give_back(bytes: usize) {
    HELD.fetch_sub(bytes, Ordering::Relaxed);
}

// SAFETY: all work is the system's allocator's.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        give_back(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        take(size);
        give_back(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }
}
