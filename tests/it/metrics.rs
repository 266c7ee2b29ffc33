//! `/metrics`: everything in the inventory, nothing else, and in a form that promtool finds no fault with.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use keyward::telemetry::metrics::{Metrics, RequestOutcome, StoreQuery, UpstreamFailure};
use keyward::telemetry::{Kind, METRICS, Renderer, install};

use crate::support::tools::tool;

/// Every handle there is, and the text that they come to.
fn everything() -> (Metrics, Renderer) {
    let (metrics, renderer) = install();
    metrics.upstream("vllm").failed(UpstreamFailure::Connect);
    metrics.upstream("vllm").answered(Duration::from_millis(30));
    metrics.upstream_server("vllm", "a").healthy(true);
    metrics.upstream_key("vllm", "a").resting(true);
    let _ = metrics.admin("baseten");
    let _ = metrics.certificate("proxy.tls", true);
    (metrics, renderer)
}

/// One series: its name, its labels as they stand, its value.
fn series(text: &str) -> Vec<(&str, &str, &str)> {
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            (name, labels.trim_end_matches('}'), value)
        })
        .collect()
}

/// What stands after `# TYPE`.
fn kinds(text: &str) -> BTreeMap<&str, &str> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    lines.filter_map(|line| line.split_once(' ')).collect()
}

#[test]
fn what_is_registered_is_in_the_inventory_and_the_other_way_round() {
    let (_metrics, renderer) = everything();
    let text = renderer.render();
    let registered: BTreeMap<&str, &str> = kinds(&text)
        .into_iter()
        .filter(|(name, _)| name.starts_with("keyward_"))
        .collect();
    let described = METRICS.iter().map(|metric| {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        (metric.name, kind)
    });
    assert_eq!(registered, described.collect());
}

#[test]
fn every_series_has_the_labels_of_the_inventory() {
    let (_metrics, renderer) = everything();
    let text = renderer.render();
    for (name, labels, _) in series(&text) {
        let names = labels
            .split("\",")
            .filter_map(|label| label.split_once('='));
        let names: BTreeSet<&str> = names
            .map(|(name, _)| name)
            .filter(|name| *name != "le")
            .collect();
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .filter(|base| METRICS.iter().any(|metric| metric.name == *base));
        let Some(metric) = METRICS
            .iter()
            .find(|metric| metric.name == base.unwrap_or(name))
        else {
            assert!(name.starts_with("process_"), "{name}");
            continue;
        };
        assert_eq!(names, metric.labels.iter().copied().collect(), "{name}");
    }
}

#[test]
fn names_say_their_unit_and_whether_they_count() {
    for metric in METRICS {
        let is_counter = metric.kind == Kind::Counter;
        assert_eq!(
            metric.name.ends_with("_total"),
            is_counter,
            "{}",
            metric.name
        );
        let is_histogram = matches!(metric.kind, Kind::Histogram(_));
        assert!(
            !is_histogram || metric.name.ends_with("_seconds"),
            "{}",
            metric.name
        );
        assert!(metric.help.ends_with('.'), "{}", metric.name);
        if let Kind::Histogram(bounds) = metric.kind {
            assert!(
                bounds.is_sorted_by(|one, next| one < next),
                "{}",
                metric.name
            );
        }
    }
}

#[test]
fn every_series_is_there_from_the_start_at_zero() {
    let (metrics, renderer) = install();
    let _ = metrics.upstream("vllm");
    metrics.upstream_server("vllm", "a").healthy(false);
    metrics.upstream_key("vllm", "a").resting(false);
    let _ = metrics.admin("baseten");
    let text = renderer.render();
    let ours = series(&text)
        .into_iter()
        .filter(|(name, ..)| name.starts_with("keyward_"));
    for (name, labels, value) in ours.filter(|(name, ..)| *name != "keyward_build_info") {
        assert_eq!(value, "0", "{name}{{{labels}}}");
    }
    for outcome in RequestOutcome::ALL {
        let series = format!(
            "keyward_requests_total{{outcome=\"{}\"}} 0\n",
            outcome.as_str()
        );
        assert!(text.contains(&series), "{series}");
    }
    for query in StoreQuery::ALL {
        let label = format!("{{query=\"{}\"", query.as_str());
        let series =
            format!("keyward_store_query_duration_seconds_bucket{label},le=\"+Inf\"}} 0\n");
        assert!(text.contains(&series), "{series}");
    }
}

#[test]
fn what_rooms_tell_is_what_is_read() {
    let (metrics, renderer) = everything();
    metrics.proxy.request_started();
    metrics.proxy.admitted(Duration::from_micros(3));
    metrics
        .proxy
        .answered(RequestOutcome::Forwarded, Duration::from_millis(20));
    metrics.cache.holds(7, 1, true);
    let text = renderer.render();
    for series in [
        "keyward_requests_in_flight 1\n",
        "keyward_requests_total{outcome=\"forwarded\"} 1\n",
        "keyward_admission_duration_seconds_bucket{le=\"0.0000025\"} 0\n",
        "keyward_admission_duration_seconds_bucket{le=\"0.000005\"} 1\n",
        "keyward_admission_duration_seconds_bucket{le=\"0.1\"} 1\n",
        "keyward_admission_duration_seconds_sum 0.000003\n",
        "keyward_request_duration_seconds_count{outcome=\"forwarded\"} 1\n",
        "keyward_request_duration_seconds_count{outcome=\"refused\"} 0\n",
        "keyward_cache_keys{memory=\"known\"} 7\n",
        "keyward_cache_complete 1\n",
        "keyward_upstream_errors_total{upstream=\"vllm\",reason=\"connect\"} 1\n",
        "keyward_upstream_duration_seconds_bucket{upstream=\"vllm\",le=\"0.05\"} 1\n",
    ] {
        assert!(text.contains(series), "{series} in {text}");
    }
    assert!(text.contains("keyward_build_info{version=\""), "{text}");
}

#[test]
fn the_size_of_the_text_does_not_grow_with_traffic() {
    let (metrics, renderer) = everything();
    let lines = |renderer: &Renderer| renderer.render().lines().count();
    let before = lines(&renderer);
    for micros in 0..100_000 {
        metrics.proxy.admitted(Duration::from_micros(micros));
    }
    assert_eq!(lines(&renderer), before);
    let text = renderer.render();
    assert!(text.contains("keyward_admission_duration_seconds_count 100000\n"));
}

#[test]
fn handles_made_twice_count_together() {
    let (metrics, renderer) = install();
    for _ in 0..2 {
        metrics.upstream("vllm").answered(Duration::ZERO);
        metrics.upstream("vllm").failed(UpstreamFailure::Broken);
    }
    let text = renderer.render();
    assert!(
        text.contains("keyward_upstream_duration_seconds_count{upstream=\"vllm\"} 2\n"),
        "{text}"
    );
    assert!(text.contains("reason=\"broken\"} 2\n"), "{text}");
}

#[test]
fn promtool_finds_no_fault() {
    let Some(promtool) = tool("promtool", "prometheus") else {
        return;
    };
    let (metrics, renderer) = everything();
    metrics.proxy.admitted(Duration::from_micros(3));
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    let mut input = child.stdin.take().expect("its input");
    input
        .write_all(renderer.render().as_bytes())
        .expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    assert_eq!(String::from_utf8_lossy(&said), "");
    assert!(output.status.success());
}
