//! Buffers of f32 that are used again: new memory costs a page fault every 4 KiB, as much as some layers' arithmetic.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// A cache line, so that no vector of a buffer crosses two.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

const LINE: usize = 16;

/// `len` numbers, which may have any value until they are written.
pub(crate) struct Buffer {
    lines: Vec<Line>,
    len: usize,
    /// Lines that it counts for in the pool's peak.
    counted: usize,
}

/// Buffers that are not in use. They are freed as long as they and those in use together hold more than a quarter above what was ever
/// asked for at once: enough that each size asked for in a step of training is still there in the next. An evaluation, which holds no
/// more than a few of its many sizes at once, is given larger buffers than it asks for instead of new ones.
struct Pool {
    free: Vec<Vec<Line>>,
    free_lines: usize,
    /// Lines of the buffers in use.
    used_lines: usize,
    /// As many as count for the peak: of a buffer that is far too large, those asked for.
    counted_lines: usize,
    /// The most that ever counted at once.
    peak_lines: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool::EMPTY);

/// Frees the buffers that are not in use.
pub(crate) fn release_pool() {
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    pool.free.clear();
    pool.free_lines = 0;
    pool.peak_lines = pool.counted_lines;
}

impl Buffer {
    /// A buffer for `len` numbers, which are what its last user left.
    pub(crate) fn any(len: usize) -> Self {
        let count = len.div_ceil(LINE);
        let (found, counted) = POOL.lock().unwrap_or_else(PoisonError::into_inner).give(count);
        let lines = found.unwrap_or_else(|| vec![Line([0.0; LINE]); count]);
        Self { lines, len, counted }
    }

    /// A buffer of zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let mut buffer = Self::any(len);
        buffer.fill(0.0);
        buffer
    }
}

impl Pool {
    const EMPTY: Self = Self { free: Vec::new(), free_lines: 0, used_lines: 0, counted_lines: 0, peak_lines: 0 };

    /// A free buffer of `count` lines or more, unless there is to be a new one; and the number of lines that it counts for.
    fn give(&mut self, count: usize) -> (Option<Vec<Line>>, usize) {
        let fitting = self.take(count, 2);
        let counted = fitting.as_ref().map_or(count, Vec::len);
        self.counted_lines += counted;
        self.peak_lines = self.peak_lines.max(self.counted_lines);
        let found = fitting.or_else(|| {
            // Others would have to be freed for a new one.
            let is_full = self.used_lines + self.free_lines + count > self.limit();
            if is_full { self.take(count, 16) } else { None }
        });
        self.used_lines += found.as_ref().map_or(count, Vec::len);
        self.trim();
        (found, counted)
    }

    /// The most lines that buffers may have, in use or not.
    fn limit(&self) -> usize {
        self.peak_lines + self.peak_lines / 4
    }

    /// The smallest free buffer that fits and is at most so many times too large.
    fn take(&mut self, count: usize, times: usize) -> Option<Vec<Line>> {
        let fits = |lines: &Vec<Line>| (count..=times * count).contains(&lines.len());
        let found = self.free.iter().enumerate().filter(|(_, lines)| fits(lines)).min_by_key(|(_, lines)| lines.len());
        let index = found?.0;
        let lines = self.free.remove(index);
        self.free_lines -= lines.len();
        Some(lines)
    }

    /// Frees the buffers that have been unused longest until all together are within the limit.
    fn trim(&mut self) {
        while self.free_lines > 0 && self.used_lines + self.free_lines > self.limit() {
            self.free_lines -= self.free.remove(0).len();
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        pool.used_lines -= lines.len();
        pool.counted_lines -= self.counted;
        pool.free_lines += lines.len();
        if !lines.is_empty() {
            pool.free.push(lines);
        }
        pool.trim();
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `lines` holds at least `len` initialised f32 in one piece, and `Line` has no padding.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`, and `self` is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} numbers)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_aligned_and_of_the_length_asked_for() {
        for len in [0, 1, 15, 16, 17, 1000] {
            let mut buffer = Buffer::any(len);
            assert_eq!(buffer.len(), len);
            assert!(buffer.as_ptr().cast::<Line>().is_aligned());
            buffer.fill(1.0);
            drop(buffer);
            assert!(Buffer::zeros(len).iter().all(|&value| value == 0.0));
        }
    }

    fn lines(count: usize) -> Vec<Line> {
        vec![Line([0.0; LINE]); count]
    }

    /// Unused buffers of these lengths, the oldest first, and none in use.
    fn unused(lengths: &[usize]) -> Pool {
        let total = lengths.iter().sum();
        let free = lengths.iter().map(|&length| lines(length)).collect();
        Pool { free, free_lines: total, peak_lines: total, ..Pool::EMPTY }
    }

    fn lengths(pool: &Pool) -> Vec<usize> {
        pool.free.iter().map(Vec::len).collect()
    }

    fn assert_within_limit(pool: &Pool) {
        assert_eq!(pool.free_lines, lengths(pool).iter().sum::<usize>());
        assert!(pool.counted_lines <= pool.peak_lines);
        assert!(pool.used_lines + pool.free_lines <= pool.peak_lines + pool.peak_lines / 4);
    }

    #[test]
    fn the_smallest_buffer_that_fits_is_taken_and_none_more_than_twice_as_large() {
        let mut pool = unused(&[21, 12, 20, 9]);
        assert_eq!(pool.take(10, 2).map(|lines| lines.len()), Some(12));
        assert_eq!(pool.take(10, 2).map(|lines| lines.len()), Some(20));
        assert!(pool.take(10, 2).is_none());
        assert_eq!(lengths(&pool), [21, 9]);
        assert_eq!(pool.take(21, 2).map(|lines| lines.len()), Some(21));
        assert_within_limit(&pool);
        let mut empty = Pool::EMPTY;
        assert!(empty.take(1, 2).is_none() && empty.take(0, 2).is_none());
    }

    #[test]
    fn a_far_larger_buffer_is_given_only_where_a_new_one_would_cost_others_and_counts_for_what_was_asked() {
        let mut pool = unused(&[160, 40]);
        // There is room for 50 more.
        assert_eq!(pool.give(12), (None, 12));
        assert_within_limit(&pool);
        let (found, counted) = pool.give(39);
        assert_eq!((found.map(|lines| lines.len()), counted), (Some(40), 40));
        assert_within_limit(&pool);
        let (found, counted) = pool.give(45);
        assert_eq!((found.map(|lines| lines.len()), counted), (Some(160), 45));
        assert_eq!((pool.used_lines, pool.counted_lines, pool.peak_lines), (212, 97, 200));
        // Not for a few lines, which cost nothing.
        let mut pool = unused(&[160, 40]);
        assert_eq!(pool.give(2), (None, 2));
        assert_within_limit(&pool);
    }

    #[test]
    fn the_buffers_unused_longest_are_freed_and_no_more_than_needed() {
        let mut pool = unused(&[3, 8, 5, 7, 2]);
        (pool.used_lines, pool.peak_lines) = (10, 20);
        pool.trim();
        // 10 in use and 15 unused are the limit.
        assert_eq!(lengths(&pool), [5, 7, 2]);
        assert_within_limit(&pool);
        pool.trim();
        assert_eq!(lengths(&pool), [5, 7, 2]);
        (pool.used_lines, pool.peak_lines) = (20, 20);
        pool.trim();
        assert_eq!(lengths(&pool), [2]);
        assert_within_limit(&pool);
    }

    #[test]
    fn the_pool_never_holds_more_than_a_quarter_above_its_peak() {
        let check = || assert_within_limit(&POOL.lock().unwrap_or_else(PoisonError::into_inner));
        let mut held = Vec::new();
        for step in 0..400 {
            let len = step * 7919 % 5000;
            held.push(if step % 2 == 0 { Buffer::any(len) } else { Buffer::zeros(len) });
            check();
            if held.len() > 3 + step % 11 {
                held.remove(step % held.len());
                held.pop();
                check();
            }
        }
        drop(held);
        check();
        release_pool();
        check();
    }
}
