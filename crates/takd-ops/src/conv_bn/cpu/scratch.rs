//! Working memory of each thread, kept from call to call.

use std::cell::RefCell;

#[derive(Default)]
pub(super) struct Scratch {
    pub input: Vec<f32>,
    pub d_output: Vec<f32>,
    pub output: Vec<f32>,
    pub rows: Vec<f32>,
    pub tiles: Vec<f32>,
}

/// Runs `work` with this thread's memory.
pub(super) fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    thread_local! {
        static SCRATCH: RefCell<Scratch> = RefCell::default();
    }
    SCRATCH.with_borrow_mut(work)
}

/// At least `len` numbers of a buffer, of any value.
pub(super) fn room(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}
