//! Numbers that many threads add to without getting in each other's way: each thread adds to cells of its own, and
//! whoever reads takes their sum.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::available_parallelism;

use crossbeam_utils::CachePadded;
use metrics::{CounterFn, GaugeFn};

/// Cells that fill what one processor takes from another at once.
const CELLS_A_LINE: usize = 16;
/// For the threads that count beside the workers.
const OTHERS: usize = 4;

type Line = CachePadded<[AtomicU64; CELLS_A_LINE]>;

/// Some cells for each thread. There are enough stripes for a worker on every processor and a few threads beside them; on
/// more than that, some share one, which costs time and nothing else.
#[derive(Debug)]
pub(super) struct Stripes {
    lines: Box<[Line]>,
    lines_each: usize,
}

impl Stripes {
    /// So many cells for each thread, all zero.
    pub(super) fn new(cells: usize) -> Self {
        let lines_each = cells.div_ceil(CELLS_A_LINE).max(1);
        let stripes = available_parallelism().map_or(1, usize::from) + OTHERS;
        let lines = (0..stripes * lines_each).map(|_| Line::default());
        Self {
            lines: lines.collect(),
            lines_each,
        }
    }

    /// This thread's own cell number `cell`, below the number that there are for each.
    pub(super) fn mine(&self, cell: usize) -> &AtomicU64 {
        thread_local! {
            static NUMBER: usize = {
                static THREADS: AtomicUsize = AtomicUsize::new(0);
                THREADS.fetch_add(1, Ordering::Relaxed)
            };
        }
        NUMBER.with(|number| self.cell_of(*number, cell))
    }

    fn cell_of(&self, thread: usize, cell: usize) -> &AtomicU64 {
        let stripe = thread % (self.lines.len() / self.lines_each);
        &self.lines[stripe * self.lines_each + cell / CELLS_A_LINE][cell % CELLS_A_LINE]
    }

    /// Everybody's cells number `cell`.
    pub(super) fn all(&self, cell: usize) -> impl Iterator<Item = u64> {
        let stripes = self.lines.chunks_exact(self.lines_each);
        let cells = stripes.map(move |lines| &lines[cell / CELLS_A_LINE][cell % CELLS_A_LINE]);
        cells.map(|cell| cell.load(Ordering::Relaxed))
    }
}

/// Adds to a number that is kept as the bits of an `f64`.
pub(super) fn add(cell: &AtomicU64, value: f64) {
    let sum = |bits: u64| Some((f64::from_bits(bits) + value).to_bits());
    // Relaxed: nothing else is published by it. The closure never gives up, so neither does this.
    let _ = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
}

/// One number in stripes: a count, or the sum of what a gauge was moved by.
#[derive(Debug)]
pub(super) struct Tally(Stripes);

impl Default for Tally {
    fn default() -> Self {
        Self(Stripes::new(1))
    }
}

impl Tally {
    /// What was counted.
    pub(super) fn count(&self) -> u64 {
        self.0.all(0).fold(0, u64::wrapping_add)
    }

    /// Where the gauge stands.
    pub(super) fn sum(&self) -> f64 {
        self.0.all(0).map(f64::from_bits).sum()
    }
}

impl CounterFn for Tally {
    fn increment(&self, value: u64) {
        self.0.mine(0).fetch_add(value, Ordering::Relaxed);
    }

    /// Right only while nobody else counts.
    fn absolute(&self, value: u64) {
        CounterFn::increment(self, value.saturating_sub(self.count()));
    }
}

impl GaugeFn for Tally {
    fn increment(&self, value: f64) {
        add(self.0.mine(0), value);
    }

    fn decrement(&self, value: f64) {
        add(self.0.mine(0), -value);
    }

    /// Right only while nobody else moves it.
    fn set(&self, value: f64) {
        add(self.0.mine(0), value - self.sum());
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn each_thread_has_cells_of_its_own_until_there_are_more_threads_than_stripes() {
        let stripes = Stripes::new(CELLS_A_LINE + 1);
        let place = |thread, cell| std::ptr::from_ref(stripes.cell_of(thread, cell)).addr();
        let most = stripes.lines.len() / 2;
        assert!(most > OTHERS);
        for thread in 1..most {
            let before = place(thread - 1, CELLS_A_LINE);
            assert_eq!(place(thread, 0) - before, size_of::<Line>());
            assert_eq!(place(thread, CELLS_A_LINE) - before, 2 * size_of::<Line>());
        }
        assert_eq!(place(most, 0), place(0, 0));
    }

    #[test]
    fn nothing_is_lost_whoever_counts() {
        let stripes = Stripes::new(CELLS_A_LINE + 1);
        let threads = stripes.lines.len() as u64;
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for cell in [0, CELLS_A_LINE] {
                        stripes.mine(cell).fetch_add(3, Ordering::Relaxed);
                    }
                });
            }
        });
        for (cell, expected) in [(0, 3 * threads), (1, 0), (CELLS_A_LINE, 3 * threads)] {
            assert_eq!(stripes.all(cell).sum::<u64>(), expected);
        }
    }
}
