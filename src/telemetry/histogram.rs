//! A histogram whose size does not depend on how much is recorded.

use std::fmt::Write as _;

use metrics::HistogramFn;

use super::stripes::Stripes;
use super::traffic::Counts;

/// Counts values by the smallest bound that is not below them.
///
/// The exporter's own histograms keep every value until somebody reads them. This one is an array, made once: recording
/// is two steps in a part of it that is this thread's own, where it has one, and never waits or allocates.
#[derive(Debug)]
pub struct FixedHistogram {
    bounds: &'static [f64],
    /// A count for each bound, one for what is above all of them, and last the sum, an `f64` as its bits.
    cells: Stripes,
}

impl FixedHistogram {
    /// Counts nothing yet. `bounds` ascend.
    #[must_use]
    pub fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            cells: Stripes::new(bounds.len() + 2),
        }
    }

    /// What was counted up to now, bucket by bucket.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let places = 0..=self.bounds.len();
        Counts(places.map(|place| self.cells.all(place).sum()).collect())
    }

    /// Where the sum is.
    const fn sum(&self) -> usize {
        self.bounds.len() + 1
    }

    /// Writes the series as Prometheus reads them; `labels` are `a="b"` joined by commas, or nothing.
    ///
    /// Each bucket is read once, so the series never contradict each other, whatever is recorded meanwhile.
    pub fn write(&self, name: &str, labels: &str, text: &mut String) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut total = 0;
        let bounds = self.bounds.iter().map(ToString::to_string);
        let bounds = bounds.chain(std::iter::once("+Inf".to_owned()));
        for (bound, count) in bounds.zip(self.counts().0) {
            total += count;
            let _ = writeln!(
                text,
                "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {total}"
            );
        }
        let sum: f64 = self.cells.all(self.sum()).map(f64::from_bits).sum();
        let braced = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{labels}}}")
        };
        let _ = writeln!(
            text,
            "{name}_sum{braced} {sum}\n{name}_count{braced} {total}"
        );
    }
}

impl HistogramFn for FixedHistogram {
    /// A value that is no number is counted above all bounds, and left out of the sum.
    fn record(&self, value: f64) {
        let place = if value.is_nan() {
            self.bounds.len()
        } else {
            // There are few, and to compare with each is quicker than to wait for one comparison after the other.
            self.bounds.iter().filter(|bound| **bound < value).count()
        };
        let ours = self.cells.ours();
        ours.count(place, 1);
        if value.is_finite() {
            ours.add(self.sum(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    const BOUNDS: &[f64] = &[0.001, 0.01, 0.1];

    fn written(histogram: &FixedHistogram) -> String {
        let mut text = String::new();
        histogram.write("x_seconds", "", &mut text);
        text
    }

    #[test]
    fn a_bound_holds_what_equals_it_and_all_below() {
        let histogram = FixedHistogram::new(BOUNDS);
        for value in [0.0, 0.001, 0.0011, 0.05, 0.1, 7.5, f64::NAN, f64::INFINITY] {
            histogram.record(value);
        }
        let mut text = String::new();
        histogram.write("x_seconds", "a=\"b\"", &mut text);
        let expected = "\
x_seconds_bucket{a=\"b\",le=\"0.001\"} 2
x_seconds_bucket{a=\"b\",le=\"0.01\"} 3
x_seconds_bucket{a=\"b\",le=\"0.1\"} 5
x_seconds_bucket{a=\"b\",le=\"+Inf\"} 8
x_seconds_sum{a=\"b\"} 7.6521
x_seconds_count{a=\"b\"} 8
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_million_records_from_many_threads_are_all_counted() {
        let histogram = Arc::new(FixedHistogram::new(BOUNDS));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..125_000 {
                        histogram.record(0.0625);
                    }
                });
            }
            // What is read meanwhile never contradicts itself.
            for _ in 0..100 {
                let text = written(&histogram);
                let last = |start: &str| {
                    let line = text.lines().find(|line| line.starts_with(start));
                    line.and_then(|line| line.rsplit(' ').next())
                        .map(str::to_owned)
                };
                assert_eq!(
                    last("x_seconds_bucket{le=\"+Inf\"}"),
                    last("x_seconds_count")
                );
            }
        });
        let text = written(&histogram);
        assert!(text.contains("x_seconds_bucket{le=\"0.01\"} 0\n"), "{text}");
        assert!(
            text.contains("x_seconds_bucket{le=\"0.1\"} 1000000\n"),
            "{text}"
        );
        // 0.0625 is exact in binary, so no addition was lost or rounded.
        assert!(text.contains("x_seconds_sum 62500\n"), "{text}");
        assert!(text.contains("x_seconds_count 1000000\n"), "{text}");
    }

    proptest! {
        #[test]
        fn buckets_count_as_comparing_with_each_bound_does(
            values in proptest::collection::vec(0.0..0.2_f64, 0..200)
        ) {
            let histogram = FixedHistogram::new(BOUNDS);
            for value in &values {
                histogram.record(*value);
            }
            let text = written(&histogram);
            for bound in BOUNDS {
                let count = values.iter().filter(|value| *value <= bound).count();
                let line = format!("x_seconds_bucket{{le=\"{bound}\"}} {count}\n");
                prop_assert!(text.contains(&line), "{line} in {text}");
            }
        }
    }
}
