//! What two looks at a server say about the time between them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::samples::Samples;

/// What a server said at one moment.
pub(super) struct Look {
    pub(super) at: Instant,
    pub(super) since_1970: Duration,
    pub(super) samples: Samples,
    /// What `/readyz?verbose` said.
    pub(super) readiness: String,
}

impl Look {
    /// How long the process had run.
    fn up_seconds(&self) -> Option<f64> {
        let began = self.samples.value("process_start_time_seconds")?;
        Some((self.since_1970.as_secs_f64() - began).max(0.0))
    }
}

/// What is shown. A rate is per second between the last two looks, and none where there was no look before, or the server
/// was started since.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    pub(super) version: String,
    pub(super) state: String,
    pub(super) troubles: Vec<String>,
    pub(super) up_seconds: Option<f64>,
    pub(super) window_seconds: Option<f64>,
    pub(super) calls: Calls,
    pub(super) keys: Keys,
    pub(super) database: Database,
    pub(super) upstreams: Vec<Upstream>,
    pub(super) process: Process,
}

#[derive(Debug, Serialize)]
pub(super) struct Calls {
    pub(super) per_second: Option<f64>,
    /// Those that there were.
    pub(super) outcomes_per_second: BTreeMap<String, f64>,
    pub(super) in_flight: f64,
    pub(super) websockets: f64,
    pub(super) connections: f64,
    /// What keyward adds to a call.
    pub(super) admission: Quantiles,
    /// From a call's head to the head of its answer.
    pub(super) forwarded: Quantiles,
    pub(super) refused: Quantiles,
    /// Lines about calls that were lost, per second.
    pub(super) lines_lost_per_second: Option<f64>,
}

/// In seconds; none where nothing was measured in the window.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Quantiles {
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Keys {
    pub(super) known: f64,
    pub(super) unknown: f64,
    pub(super) is_complete: bool,
    pub(super) is_sealed: bool,
    pub(super) bad_rows: f64,
    /// Since the change log was last read.
    pub(super) age_seconds: f64,
    pub(super) changes: f64,
    pub(super) changes_per_second: Option<f64>,
    pub(super) lookups_per_second: BTreeMap<String, f64>,
    /// Since the server was started: revocations are rare.
    pub(super) revocation: Quantiles,
}

#[derive(Debug, Serialize)]
pub(super) struct Database {
    pub(super) queries_per_second: Option<f64>,
    pub(super) errors_per_second: Option<f64>,
    pub(super) query: Quantiles,
    pub(super) uses_waiting: f64,
    pub(super) uses_dropped: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct Upstream {
    pub(super) name: String,
    pub(super) per_second: Option<f64>,
    pub(super) errors_per_second: Option<f64>,
    pub(super) answer: Quantiles,
    /// Each server, and whether it is called as usual.
    pub(super) servers: BTreeMap<String, bool>,
    pub(super) keys_resting: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct Process {
    /// Of one core.
    pub(super) cpu: Option<f64>,
    pub(super) resident_bytes: Option<f64>,
    pub(super) open_files: Option<f64>,
    pub(super) most_files: Option<f64>,
}

/// Two looks, or one.
struct Span<'l> {
    before: Option<(&'l Samples, f64)>,
    now: &'l Samples,
}

impl Figures {
    /// What is known `now`, and what happened since `before`.
    pub(super) fn between(before: Option<&Look>, now: &Look) -> Self {
        let began = |samples: &Samples| samples.value("process_start_time_seconds");
        let before = before
            .filter(|before| began(&before.samples) == began(&now.samples))
            .map(|before| {
                let seconds = now.at.saturating_duration_since(before.at).as_secs_f64();
                (&before.samples, seconds)
            })
            .filter(|(_, seconds)| *seconds > 0.0);
        let span = Span {
            before,
            now: &now.samples,
        };
        let mut readiness = now.readiness.lines();
        let state = readiness.next().unwrap_or_default().to_owned();
        let versions = span.now.labels("keyward_build_info", "version");
        Self {
            version: versions.first().copied().unwrap_or_default().to_owned(),
            state,
            troubles: readiness.map(str::to_owned).collect(),
            up_seconds: now.up_seconds(),
            window_seconds: before.map(|(_, seconds)| seconds),
            calls: span.calls(),
            keys: span.keys(),
            database: span.database(),
            upstreams: span.upstreams(),
            process: span.process(),
        }
    }
}

impl Span<'_> {
    fn gauge(&self, name: &str) -> f64 {
        self.now.value(name).unwrap_or_default()
    }

    /// How much a counter grew in a second.
    fn rate(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let (before, seconds) = self.before?;
        let grown = self.now.with(name, labels) - before.with(name, labels);
        Some(grown.max(0.0) / seconds)
    }

    /// How much each series of a counter grew in a second, if it did, by what its label says.
    fn rates(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let labels = self.now.labels(name, label).into_iter();
        let rate = |value: &str| {
            let rate = self
                .rate(name, &[(label, value)])
                .filter(|rate| *rate > 0.0)?;
            Some((value.to_owned(), rate))
        };
        labels.filter_map(rate).collect()
    }

    /// The quantiles of what was recorded in the window.
    fn quantiles(&self, name: &str, labels: &[(&str, &str)]) -> Quantiles {
        let Some((before, _)) = self.before else {
            return Quantiles::default();
        };
        let before = before.buckets(name, labels);
        let mut buckets = self.now.buckets(name, labels);
        for (now, before) in buckets.iter_mut().zip(before) {
            now.1 -= before.1;
        }
        Quantiles::of(&buckets)
    }

    fn calls(&self) -> Calls {
        const TOOK: &str = "keyward_request_duration_seconds";
        const LINES: &str = "keyward_access_log_lines_total";
        let lost = |result| self.rate(LINES, &[("result", result)]);
        Calls {
            per_second: self.rate("keyward_requests_total", &[]),
            outcomes_per_second: self.rates("keyward_requests_total", "outcome"),
            in_flight: self.gauge("keyward_requests_in_flight"),
            websockets: self.gauge("keyward_websockets"),
            connections: self.gauge("keyward_connections"),
            admission: self.quantiles("keyward_admission_duration_seconds", &[]),
            forwarded: self.quantiles(TOOK, &[("outcome", "forwarded")]),
            refused: self.quantiles(TOOK, &[("outcome", "refused")]),
            lines_lost_per_second: lost("no_room")
                .zip(lost("failed"))
                .map(|(one, other)| one + other),
        }
    }

    fn keys(&self) -> Keys {
        let held = |memory| self.now.with("keyward_cache_keys", &[("memory", memory)]);
        let revoked = "keyward_revocation_propagation_seconds";
        Keys {
            known: held("known"),
            unknown: held("unknown"),
            is_complete: self.gauge("keyward_cache_complete") > 0.0,
            is_sealed: self.gauge("keyward_cache_sealed") > 0.0,
            bad_rows: self.gauge("keyward_bad_key_rows"),
            age_seconds: self.gauge("keyward_cache_age_seconds"),
            changes: self.gauge("keyward_changes_applied_total"),
            changes_per_second: self.rate("keyward_changes_applied_total", &[]),
            lookups_per_second: self.rates("keyward_cache_lookups_total", "result"),
            revocation: Quantiles::of(&self.now.buckets(revoked, &[])),
        }
    }

    fn database(&self) -> Database {
        const TOOK: &str = "keyward_store_query_duration_seconds";
        Database {
            queries_per_second: self.rate(&format!("{TOOK}_count"), &[]),
            errors_per_second: self.rate("keyward_store_errors_total", &[]),
            query: self.quantiles(TOOK, &[]),
            uses_waiting: self.gauge("keyward_usage_pending"),
            uses_dropped: self.gauge("keyward_usage_dropped_total"),
        }
    }

    fn upstreams(&self) -> Vec<Upstream> {
        const TOOK: &str = "keyward_upstream_duration_seconds";
        const HEALTHY: &str = "keyward_upstream_healthy";
        let names = self.now.labels(HEALTHY, "upstream").into_iter();
        names
            .map(|name| {
                let ours = [("upstream", name)];
                let servers = self.now.labels(HEALTHY, "server").into_iter();
                let healthy = |server: &str| {
                    let labels = [("upstream", name), ("server", server)];
                    let is_there = self.now.has(HEALTHY, &labels);
                    let is_healthy = self.now.with(HEALTHY, &labels) > 0.0;
                    is_there.then(|| (server.to_owned(), is_healthy))
                };
                Upstream {
                    name: name.to_owned(),
                    per_second: self.rate(&format!("{TOOK}_count"), &ours),
                    errors_per_second: self.rate("keyward_upstream_errors_total", &ours),
                    answer: self.quantiles(TOOK, &ours),
                    servers: servers.filter_map(healthy).collect(),
                    keys_resting: self.now.with("keyward_upstream_key_resting", &ours),
                }
            })
            .collect()
    }

    fn process(&self) -> Process {
        Process {
            cpu: self.rate("process_cpu_seconds_total", &[]),
            resident_bytes: self.now.value("process_resident_memory_bytes"),
            open_files: self.now.value("process_open_fds"),
            most_files: self.now.value("process_max_fds"),
        }
    }
}

impl Quantiles {
    fn of(buckets: &[(f64, f64)]) -> Self {
        Self {
            p50: quantile(buckets, 0.5),
            p99: quantile(buckets, 0.99),
        }
    }
}

/// Where `share` of all that was recorded lies, taken to be spread evenly within a bucket, as Prometheus takes it. Above
/// the last bound it is that bound.
fn quantile(buckets: &[(f64, f64)], share: f64) -> Option<f64> {
    let all = buckets.last()?.1;
    if all <= 0.0 {
        return None;
    }
    let rank = share * all;
    let place = buckets.iter().position(|(_, count)| *count >= rank)?;
    let (below, counted) = match place.checked_sub(1) {
        Some(before) => buckets[before],
        None => (0.0, 0.0),
    };
    let (bound, count) = buckets[place];
    if bound.is_infinite() {
        return Some(below);
    }
    let within = (rank - counted) / (count - counted);
    Some(below + (bound - below) * within)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const INF: f64 = f64::INFINITY;

    #[rstest]
    #[case::nothing(&[(1.0, 0.0), (INF, 0.0)], 0.5, None)]
    #[case::no_buckets(&[], 0.5, None)]
    #[case::in_the_first(&[(1.0, 10.0), (INF, 10.0)], 0.5, Some(0.5))]
    #[case::in_the_second(&[(1.0, 5.0), (2.0, 10.0), (INF, 10.0)], 0.75, Some(1.5))]
    #[case::above_all(&[(1.0, 0.0), (2.0, 5.0), (INF, 10.0)], 0.99, Some(2.0))]
    fn a_quantile_is_as_prometheus_has_it(
        #[case] buckets: &[(f64, f64)],
        #[case] share: f64,
        #[case] expected: Option<f64>,
    ) {
        assert_eq!(quantile(buckets, share), expected);
    }

    fn look(at: Instant, start: u32, forwarded: u32) -> Look {
        let text = format!(
            "process_start_time_seconds {start}\nkeyward_requests_total{{outcome=\"forwarded\"}} {forwarded}\n\
             keyward_requests_total{{outcome=\"no_route\"}} 3\n"
        );
        Look {
            at,
            since_1970: Duration::from_secs(10),
            samples: Samples::read(&text),
            readiness: "ok\nkeys: old\n".to_owned(),
        }
    }

    #[test]
    fn a_rate_is_what_came_between_two_looks_at_one_process() {
        let begun = Instant::now();
        let first = look(begun, 1, 100);
        let second = look(begun + Duration::from_secs(2), 1, 140);
        let figures = Figures::between(Some(&first), &second);
        assert_eq!(figures.calls.per_second, Some(20.0));
        let outcomes: Vec<_> = figures.calls.outcomes_per_second.into_iter().collect();
        assert_eq!(outcomes, [("forwarded".to_owned(), 20.0)]);
        assert_eq!(figures.window_seconds, Some(2.0));
        assert_eq!(
            (&*figures.state, &*figures.troubles),
            ("ok", &["keys: old".to_owned()][..])
        );
        assert_eq!(Figures::between(None, &second).calls.per_second, None);
        let restarted = look(begun + Duration::from_secs(3), 2, 1);
        let figures = Figures::between(Some(&second), &restarted);
        assert_eq!(figures.calls.per_second, None);
    }
}
