//! How many calls there were of late and how long they took: what the histograms say, looked at again and again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::describe::bounds;
use super::metrics::RequestOutcome;
use super::recorder::Renderer;

/// How often somebody should look.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How many looks are kept: five minutes of them.
pub const LOOKS_KEPT: usize = 150;

/// What happened between two looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrafficSample {
    /// When the time ended, in seconds since 1970.
    pub at_secs: u64,
    /// How long it was.
    pub over: Duration,
    /// How many calls an upstream answered.
    pub forwarded: u64,
    /// How many requests were refused, or failed.
    pub refused: u64,
    /// How long the heads of those upstreams' answers took to come; none when there were none.
    pub answer: Option<Times>,
    /// What keyward added to the calls that it let through; none when there were none.
    pub admission: Option<Times>,
}

/// How long something took, in seconds, as well as the buckets of a histogram tell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Times {
    /// Half of them took no longer.
    pub p50: f64,
    /// One in a hundred took longer.
    pub p99: f64,
}

/// What a histogram has counted up to now: for each bound what is not above it and above the one before, and in the
/// end what is above all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(pub(super) Vec<u64>);

/// The traffic of the last minutes. Cheap to copy; every copy is the same.
#[derive(Clone)]
pub struct Traffic {
    renderer: Renderer,
    looks: Arc<Mutex<Looks>>,
}

#[derive(Default)]
struct Looks {
    last: Option<Look>,
    samples: VecDeque<TrafficSample>,
}

struct Look {
    elapsed: Duration,
    forwarded: Counts,
    refused: Counts,
    admission: Counts,
}

const ANSWERS: &str = "keyward_request_duration_seconds";
const ADMISSIONS: &str = "keyward_admission_duration_seconds";

impl Traffic {
    /// What the histograms behind `renderer` say.
    #[must_use]
    pub fn new(renderer: Renderer) -> Self {
        Self {
            renderer,
            looks: Arc::default(),
        }
    }

    /// Looks, `elapsed` being how long the process's clock has run and `now_secs` what time it is. To be called every
    /// [`LOOK_EVERY`]; reads some dozens of numbers and never waits for whoever counts.
    pub fn look(&self, elapsed: Duration, now_secs: u64) {
        let look = Look {
            elapsed,
            forwarded: self.renderer.counts(ANSWERS, "outcome=\"forwarded\""),
            refused: self.renderer.counts(ANSWERS, "outcome=\"refused\""),
            admission: self.renderer.counts(ADMISSIONS, ""),
        };
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = &looks.last {
            let sample = between(before, &look, now_secs);
            if looks.samples.len() == LOOKS_KEPT {
                looks.samples.pop_front();
            }
            looks.samples.push_back(sample);
        }
        looks.last = Some(look);
    }

    /// What happened of late, oldest first.
    #[must_use]
    pub fn samples(&self) -> Vec<TrafficSample> {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.samples.iter().copied().collect()
    }

    /// How many requests ended in each way since the start, in the order of [`RequestOutcome::ALL`]. Costs as much as a
    /// look at `/metrics`.
    #[must_use]
    pub fn outcomes(&self) -> Vec<(RequestOutcome, u64)> {
        let text = self.renderer.render();
        let count = |outcome: RequestOutcome| {
            let word = outcome.as_str();
            let series = format!("keyward_requests_total{{outcome=\"{word}\"}} ");
            let line = text.lines().find_map(|line| line.strip_prefix(&*series));
            line.and_then(|value| value.parse().ok()).unwrap_or(0)
        };
        let all = RequestOutcome::ALL.into_iter();
        all.map(|outcome| (outcome, count(outcome))).collect()
    }
}

fn between(before: &Look, now: &Look, at_secs: u64) -> TrafficSample {
    let answers = now.forwarded.since(&before.forwarded);
    TrafficSample {
        at_secs,
        over: now.elapsed.saturating_sub(before.elapsed),
        forwarded: answers.total(),
        refused: now.refused.since(&before.refused).total(),
        answer: answers.times(bounds(ANSWERS)),
        admission: now
            .admission
            .since(&before.admission)
            .times(bounds(ADMISSIONS)),
    }
}

impl Counts {
    fn since(&self, before: &Self) -> Self {
        let before = before.0.iter().chain(std::iter::repeat(&0));
        let counts = self.0.iter().zip(before);
        Self(
            counts
                .map(|(now, before)| now.saturating_sub(*before))
                .collect(),
        )
    }

    fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    fn times(&self, bounds: &[f64]) -> Option<Times> {
        (self.total() > 0).then(|| Times {
            p50: self.quantile(0.5, bounds),
            p99: self.quantile(0.99, bounds),
        })
    }

    /// As Prometheus's `histogram_quantile` has it: within a bucket as if its values were spread evenly, and the greatest
    /// bound for what is above all.
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of calls within seconds are far below 2^52"
    )]
    fn quantile(&self, share: f64, bounds: &[f64]) -> f64 {
        let rank = share * self.total() as f64;
        let (mut below, mut lower) = (0.0, 0.0);
        for (count, upper) in self.0.iter().zip(bounds) {
            let count = *count as f64;
            if count > 0.0 && below + count >= rank {
                return lower + (upper - lower) * ((rank - below) / count);
            }
            below += count;
            lower = *upper;
        }
        lower
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Telemetry;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_sample_is_what_happened_since_the_look_before() {
        let telemetry = Telemetry::new();
        let (metrics, traffic) = (&telemetry.metrics.proxy, &telemetry.traffic);
        let forwarded = |took| metrics.answered(RequestOutcome::Forwarded, took);
        forwarded(Duration::from_secs(9));
        traffic.look(SECOND, 100);
        assert_eq!(traffic.samples(), []);
        for _ in 0..99 {
            forwarded(Duration::from_millis(80));
        }
        forwarded(Duration::from_secs(7));
        metrics.answered(RequestOutcome::UnknownKey, Duration::ZERO);
        traffic.look(3 * SECOND, 102);
        traffic.look(5 * SECOND, 104);
        let samples = traffic.samples();
        assert_eq!(samples.len(), 2);
        let busy = samples[0];
        assert_eq!((busy.at_secs, busy.over), (102, 2 * SECOND));
        assert_eq!((busy.forwarded, busy.refused), (100, 1));
        let times = busy.answer.unwrap();
        assert!((0.05..=0.1).contains(&times.p50), "{times:?}");
        assert!((0.05..=0.1).contains(&times.p99), "{times:?}");
        assert_eq!(busy.admission, None);
        assert_eq!((samples[1].forwarded, samples[1].answer), (0, None));
    }

    #[test]
    fn a_quantile_is_between_the_bounds_of_its_bucket() {
        let bounds = [1.0, 2.0, 4.0];
        let of = |counts: [u64; 4], share| Counts(counts.to_vec()).quantile(share, &bounds);
        let is = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found}");
        is(of([2, 0, 0, 0], 0.5), 0.5);
        is(of([1, 1, 0, 0], 0.5), 1.0);
        is(of([0, 0, 4, 0], 0.5), 3.0);
        is(of([0, 0, 0, 3], 0.5), 4.0);
        is(of([98, 0, 2, 0], 0.99), 3.0);
    }

    #[test]
    fn only_so_much_is_kept() {
        let telemetry = Telemetry::new();
        for second in 0..1000 {
            telemetry.traffic.look(SECOND * second, u64::from(second));
        }
        let samples = telemetry.traffic.samples();
        assert_eq!(samples.len(), LOOKS_KEPT);
        assert_eq!(samples.last().unwrap().at_secs, 999);
    }

    #[test]
    fn outcomes_are_what_the_metrics_count() {
        let telemetry = Telemetry::new();
        for _ in 0..3 {
            let metrics = &telemetry.metrics.proxy;
            metrics.answered(RequestOutcome::ModelNotAllowed, Duration::ZERO);
        }
        let outcomes = telemetry.traffic.outcomes();
        assert_eq!(outcomes.len(), RequestOutcome::ALL.len());
        for (outcome, count) in outcomes {
            let expected = if outcome == RequestOutcome::ModelNotAllowed {
                3
            } else {
                0
            };
            assert_eq!(count, expected, "{outcome:?}");
        }
    }
}
