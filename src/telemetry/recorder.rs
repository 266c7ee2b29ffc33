//! Where metrics are kept, and how they become the text of `/metrics`.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::describe;
use super::histogram::FixedHistogram;
use super::metrics::Metrics;
use super::process;
use super::stripes::Tally;
use super::traffic::Counts;

/// What is running, for `keyward_build_info` and `--version`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The source's revision, when the build was told (`KEYWARD_REVISION`).
pub const REVISION: &str = match option_env!("KEYWARD_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// What every call adds to, beside histograms: counted in stripes. Of gauges only such as are never set.
const EVERY_CALL: [&str; 4] = [
    "keyward_requests_total",
    "keyward_requests_in_flight",
    "keyward_held_body_bytes",
    "keyward_cache_lookups_total",
];

/// Keeps all metrics of a process. Counters and gauges are the exporter's, which learns of those that every call adds to
/// when it is asked; histograms are ours.
struct Registry {
    exporter: PrometheusRecorder,
    histograms: Arc<Histograms>,
    tallies: Arc<Tallies>,
}

/// What is counted in stripes, and where the exporter keeps it.
#[derive(Default)]
struct Tallies {
    counters: Mutex<HashMap<Key, (Arc<Tally>, Counter)>>,
    gauges: Mutex<HashMap<Key, (Arc<Tally>, Gauge)>>,
}

/// The histograms: by name, then by labels as they are written.
#[derive(Default)]
struct Histograms(Mutex<BTreeMap<String, BTreeMap<String, Arc<FixedHistogram>>>>);

/// Writes what `/metrics` answers. Cheap to clone; every clone writes the same.
#[derive(Clone)]
pub struct Renderer {
    exporter: PrometheusHandle,
    histograms: Arc<Histograms>,
    tallies: Arc<Tallies>,
}

/// Makes the metrics of a process: handles for the rooms, and what writes them down.
///
/// Nothing is global, so that a process may have several, as tests do.
#[must_use]
pub fn install() -> (Metrics, Renderer) {
    let exporter = PrometheusBuilder::new().build_recorder();
    let histograms = Arc::new(Histograms::default());
    let tallies = Arc::new(Tallies::default());
    let renderer = Renderer {
        exporter: exporter.handle(),
        histograms: Arc::clone(&histograms),
        tallies: Arc::clone(&tallies),
    };
    let registry = Arc::new(Registry {
        exporter,
        histograms,
        tallies,
    });
    describe::describe(&*registry);
    let metrics = Metrics::register(registry);
    metrics.build(VERSION, REVISION);
    (metrics, renderer)
}

impl Renderer {
    /// Every metric, in the Prometheus text format. Takes a time that grows with the number of series only, and reads a
    /// few small files of `/proc`.
    #[must_use]
    pub fn render(&self) -> String {
        self.tallies.tell();
        let mut text = self.exporter.render();
        self.histograms.write(&mut text);
        process::write(&mut text);
        text
    }

    /// What the histogram `name` has counted with `labels`, as they are written; nothing when there is none.
    pub(super) fn counts(&self, name: &str, labels: &str) -> Counts {
        let histograms = self.histograms.0.lock();
        let histograms = histograms.unwrap_or_else(PoisonError::into_inner);
        let series = histograms.get(name).and_then(|series| series.get(labels));
        series.map_or_else(Counts::default, |series| series.counts())
    }
}

impl Tallies {
    fn counter(&self, key: &Key, kept: impl FnOnce() -> Counter) -> Counter {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let counter = counters.entry(key.clone());
        let (tally, _) = counter.or_insert_with(|| (Arc::default(), kept()));
        Counter::from_arc(Arc::clone(tally))
    }

    fn gauge(&self, key: &Key, kept: impl FnOnce() -> Gauge) -> Gauge {
        let mut gauges = self.gauges.lock().unwrap_or_else(PoisonError::into_inner);
        let gauge = gauges.entry(key.clone());
        let (tally, _) = gauge.or_insert_with(|| (Arc::default(), kept()));
        Gauge::from_arc(Arc::clone(tally))
    }

    /// Tells the exporter the sums.
    fn tell(&self) {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        for (tally, kept) in counters.values() {
            kept.absolute(tally.count());
        }
        drop(counters);
        let gauges = self.gauges.lock().unwrap_or_else(PoisonError::into_inner);
        for (tally, kept) in gauges.values() {
            kept.set(tally.sum());
        }
    }
}

impl Histograms {
    fn get(&self, key: &Key) -> Arc<FixedHistogram> {
        let bounds = describe::bounds(key.name());
        let mut histograms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let series = histograms.entry(key.name().to_owned()).or_default();
        let histogram = series
            .entry(labels_text(key))
            .or_insert_with(|| Arc::new(FixedHistogram::new(bounds)));
        Arc::clone(histogram)
    }

    fn write(&self, text: &mut String) {
        let histograms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, series) in &*histograms {
            let help = describe::find(name).map_or("", |metric| metric.help);
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} histogram");
            for (labels, histogram) in series {
                histogram.write(name, labels, text);
            }
            text.push('\n');
        }
    }
}

/// `a="b",c="d"`, escaped as the text format asks.
fn labels_text(key: &Key) -> String {
    let label = |label: &metrics::Label| {
        let value = label.value().replace('\\', "\\\\").replace('"', "\\\"");
        format!("{}=\"{}\"", label.key(), value.replace('\n', "\\n"))
    };
    key.labels().map(label).collect::<Vec<_>>().join(",")
}

impl Recorder for Registry {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.exporter.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.exporter.describe_gauge(key, unit, description);
    }

    /// Their help comes from the inventory.
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        let kept = || self.exporter.register_counter(key, metadata);
        if EVERY_CALL.contains(&key.name()) {
            self.tallies.counter(key, kept)
        } else {
            kept()
        }
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        let kept = || self.exporter.register_gauge(key, metadata);
        if EVERY_CALL.contains(&key.name()) {
            self.tallies.gauge(key, kept)
        } else {
            kept()
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.histograms.get(key))
    }
}
