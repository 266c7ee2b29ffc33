//! Numbers that many threads add to without getting in each other's way: each thread adds to cells of its own, and
//! whoever reads takes their sum.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::available_parallelism;

use crossbeam_utils::CachePadded;
use metrics::{CounterFn, GaugeFn};

/// Cells that fill what one processor takes from another at once.
const CELLS_A_LINE: usize = 16;

type Line = CachePadded<[AtomicU64; CELLS_A_LINE]>;

thread_local! {
    /// This thread's stripe; the first is that of all who have none of their own.
    static STRIPE: Cell<usize> = const { Cell::new(SHARED) };
}

const SHARED: usize = 0;

/// Gives this thread, which counts all day, stripes of its own from here on: nobody else writes there, so that to add takes no
/// step that other processors must see at once.
pub fn count_alone() {
    static THREADS: AtomicUsize = AtomicUsize::new(SHARED);
    STRIPE.set(THREADS.fetch_add(1, Ordering::Relaxed) + 1);
}

/// Some cells for each thread that counts alone, as many threads as there are processors, and some for all others together.
#[derive(Debug)]
pub(super) struct Stripes {
    lines: Box<[Line]>,
    lines_each: usize,
    /// How many stripes there are.
    count: usize,
}

/// The cells of one thread, or of all who have none of their own.
#[derive(Clone, Copy)]
pub(super) struct Stripe<'a> {
    lines: &'a [Line],
    is_shared: bool,
}

impl Stripes {
    /// So many cells in each stripe, all zero.
    pub(super) fn new(cells: usize) -> Self {
        let lines_each = cells.div_ceil(CELLS_A_LINE).max(1);
        let stripes = available_parallelism().map_or(1, usize::from) + 1;
        let lines = (0..stripes * lines_each).map(|_| Line::default());
        Self {
            lines: lines.collect(),
            lines_each,
            count: stripes,
        }
    }

    /// This thread's. Whoever changes several cells asks once.
    pub(super) fn ours(&self) -> Stripe<'_> {
        self.of(STRIPE.get())
    }

    /// A thread's: of more threads than there are processors, the last count with the others.
    fn of(&self, thread: usize) -> Stripe<'_> {
        let stripe = if thread < self.count { thread } else { SHARED };
        let begin = stripe * self.lines_each;
        Stripe {
            lines: &self.lines[begin..begin + self.lines_each],
            is_shared: stripe == SHARED,
        }
    }

    /// Everybody's cells number `cell`.
    pub(super) fn all(&self, cell: usize) -> impl Iterator<Item = u64> {
        let stripes = self.lines.chunks_exact(self.lines_each);
        let cells = stripes.map(move |lines| &lines[cell / CELLS_A_LINE][cell % CELLS_A_LINE]);
        cells.map(|cell| cell.load(Ordering::Relaxed))
    }
}

impl Stripe<'_> {
    /// Changes cell number `cell`, below the number that there are.
    fn change(&self, cell: usize, change: impl Fn(u64) -> u64) {
        let cell = self.cell(cell);
        // Relaxed: nothing else is published by it.
        if self.is_shared {
            // The closure never gives up, so neither does this.
            let _ = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
                Some(change(bits))
            });
        } else {
            cell.store(change(cell.load(Ordering::Relaxed)), Ordering::Relaxed);
        }
    }

    /// The same, of a count.
    pub(super) fn count(&self, cell: usize, more: u64) {
        self.change(cell, |count| count.wrapping_add(more));
    }

    /// The same, of a number that is kept as the bits of an `f64`.
    pub(super) fn add(&self, cell: usize, value: f64) {
        self.change(cell, |bits| (f64::from_bits(bits) + value).to_bits());
    }

    fn cell(&self, cell: usize) -> &AtomicU64 {
        &self.lines[cell / CELLS_A_LINE][cell % CELLS_A_LINE]
    }
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
        self.0.ours().count(0, value);
    }

    /// Right only while nobody else counts.
    fn absolute(&self, value: u64) {
        CounterFn::increment(self, value.saturating_sub(self.count()));
    }
}

impl GaugeFn for Tally {
    fn increment(&self, value: f64) {
        self.0.ours().add(0, value);
    }

    fn decrement(&self, value: f64) {
        self.0.ours().add(0, -value);
    }

    /// Right only while nobody else moves it.
    fn set(&self, value: f64) {
        self.0.ours().add(0, value - self.sum());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    #[test]
    fn who_counts_alone_has_cells_of_its_own_as_long_as_there_are_any() {
        let stripes = Stripes::new(CELLS_A_LINE + 1);
        let place = |thread, cell| std::ptr::from_ref(stripes.of(thread).cell(cell)).addr();
        let most = stripes.lines.len() / 2;
        assert!(most > 1);
        for thread in 1..most {
            let before = place(thread - 1, CELLS_A_LINE);
            assert_eq!(place(thread, 0) - before, size_of::<Line>());
            assert_eq!(place(thread, CELLS_A_LINE) - before, 2 * size_of::<Line>());
        }
        assert_eq!(place(most, 0), place(SHARED, 0));
    }

    #[test]
    fn nothing_is_lost_whoever_counts() {
        const EACH: u64 = 100_000;
        let stripes = Stripes::new(CELLS_A_LINE + 1);
        // More of both than there are stripes.
        let threads = 2 * stripes.lines.len() as u64;
        let start = Barrier::new(usize::try_from(threads).unwrap());
        thread::scope(|scope| {
            for number in 0..threads {
                let (stripes, start) = (&stripes, &start);
                scope.spawn(move || {
                    if number % 2 == 0 {
                        count_alone();
                    }
                    start.wait();
                    for _ in 0..EACH {
                        stripes.ours().count(0, 3);
                        stripes.ours().add(CELLS_A_LINE, 0.5);
                    }
                });
            }
        });
        assert_eq!(stripes.all(0).sum::<u64>(), 3 * threads * EACH);
        assert_eq!(stripes.all(1).sum::<u64>(), 0);
        let halves: f64 = stripes.all(CELLS_A_LINE).map(f64::from_bits).sum();
        let expected = f64::from(u32::try_from(threads * EACH).unwrap()) * 0.5;
        assert!((halves - expected).abs() < 0.1, "{halves}");
    }
}
