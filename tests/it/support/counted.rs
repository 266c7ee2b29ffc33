//! What a keyward counted, as `/metrics` tells it.

use std::collections::BTreeMap;

use keyward::telemetry::Renderer;

/// Every metric of one keyward.
#[derive(Clone)]
pub struct Counted(pub Renderer);

impl Counted {
    /// How often requests of the data listener ended so, for every outcome that occurred.
    pub fn outcomes(&self) -> BTreeMap<String, u64> {
        let text = self.0.render();
        let outcomes = text.lines().filter_map(|line| {
            let series = line.strip_prefix("keyward_requests_total{outcome=\"")?;
            let (outcome, count) = series.split_once("\"} ")?;
            let count = count.parse().expect("a count is a whole number");
            (count > 0).then(|| (outcome.to_owned(), count))
        });
        outcomes.collect()
    }
}
