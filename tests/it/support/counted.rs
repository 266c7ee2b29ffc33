//! What a keyward counted, as `/metrics` tells it.

use std::collections::BTreeMap;

use keyward::telemetry::Renderer;

/// Every metric of one keyward.
#[derive(Clone)]
pub struct Counted(pub Renderer);

impl Counted {
    /// How often requests of the data listener ended so, for every outcome that occurred.
    pub fn outcomes(&self) -> BTreeMap<String, u64> {
        self.by_label("keyward_requests_total", "outcome")
    }

    /// How often upstreams failed, for every reason that occurred.
    pub fn upstream_errors(&self) -> BTreeMap<String, u64> {
        self.by_label("keyward_upstream_errors_total", "reason")
    }

    /// Whether the process says that it takes more memory than it may.
    pub fn is_memory_short(&self) -> bool {
        self.value("keyward_memory_short") == 1
    }

    /// How many calls were ended because their keys had.
    pub fn calls_ended_with_keys(&self) -> u64 {
        self.value("keyward_calls_ended_with_keys_total")
    }

    /// How many changes of keys are in force here.
    pub fn changes_applied(&self) -> u64 {
        self.value("keyward_changes_applied_total")
    }

    /// How many calls went to another server because the first could not be reached.
    pub fn upstream_retries(&self) -> u64 {
        self.value("keyward_upstream_retries_total{upstream=\"default\"}")
    }

    /// How often calls that were given the key `id` of the upstream were answered so, for every answer that occurred.
    pub fn key_uses(&self, id: &str) -> BTreeMap<String, u64> {
        let of_key = format!(
            "keyward_upstream_key_calls_total{{upstream=\"default\",key=\"{id}\",result=\""
        );
        let text = self.0.render();
        let uses = text.lines().filter_map(|line| {
            let (result, count) = line.strip_prefix(&of_key)?.split_once("\"} ")?;
            let count = count.parse().expect("a count is a whole number");
            (count > 0).then(|| (result.to_owned(), count))
        });
        uses.collect()
    }

    /// Whether the key `id` of the upstream is left alone.
    pub fn is_resting(&self, id: &str) -> bool {
        let series = format!("keyward_upstream_key_resting{{upstream=\"default\",key=\"{id}\"}}");
        self.value(&series) == 1
    }

    /// Whether the server `name` of the upstream is called as usual.
    pub fn is_healthy(&self, name: &str) -> bool {
        let series = format!("keyward_upstream_healthy{{upstream=\"default\",server=\"{name}\"}}");
        self.value(&series) == 1
    }

    /// How often TLS handshakes with callers ended so, for every result that occurred.
    pub fn handshakes(&self) -> BTreeMap<String, u64> {
        self.by_label("keyward_tls_handshakes_total", "result")
    }

    /// How often the files of callers' certificates had changed, by what became of that.
    pub fn reloads(&self) -> BTreeMap<String, u64> {
        self.by_label("keyward_tls_reloads_total", "result")
    }

    /// How many callers are connected now.
    pub fn connections(&self) -> u64 {
        self.value("keyward_connections")
    }

    /// How many requests are in flight now.
    pub fn in_flight(&self) -> u64 {
        self.value("keyward_requests_in_flight")
    }

    /// How many WebSocket connections are open now.
    pub fn websockets(&self) -> u64 {
        self.value("keyward_websockets")
    }

    /// How much is held of request bodies now, in bytes.
    pub fn held_body_bytes(&self) -> u64 {
        self.value("keyward_held_body_bytes")
    }

    /// How many revocations were counted that took at most `bound` seconds, as the bound is written, to be in force.
    pub fn revocations_within(&self, bound: &str) -> u64 {
        self.value(&format!(
            "keyward_revocation_propagation_seconds_bucket{{le=\"{bound}\"}}"
        ))
    }

    /// How often the key database was asked something, by the name of the query.
    pub fn queries(&self) -> BTreeMap<String, u64> {
        self.by_label("keyward_store_query_duration_seconds_count", "query")
    }

    fn value(&self, name: &str) -> u64 {
        let text = self.0.render();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.unwrap_or_else(|| panic!("no {name} in {text}"));
        value.parse().expect("a count is a whole number")
    }

    /// The counts of a metric by one of its labels, without those that are zero.
    fn by_label(&self, name: &str, label: &str) -> BTreeMap<String, u64> {
        let text = self.0.render();
        let begin = format!("{label}=\"");
        let counts = text.lines().filter_map(|line| {
            let (labels, count) = line
                .strip_prefix(name)?
                .strip_prefix('{')?
                .split_once("} ")?;
            let value = labels
                .split(',')
                .find_map(|each| each.strip_prefix(&begin))?;
            let count = count.parse().expect("a count is a whole number");
            (count > 0).then(|| (value.trim_end_matches('"').to_owned(), count))
        });
        counts.collect()
    }
}
