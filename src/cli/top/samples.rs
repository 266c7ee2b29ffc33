//! The text format of Prometheus, as far as this program writes it.

use std::collections::BTreeMap;

/// Every sample of one look.
#[derive(Debug, Default)]
pub(super) struct Samples(BTreeMap<String, Vec<Sample>>);

#[derive(Debug, PartialEq)]
struct Sample {
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Samples {
    /// Reads what is readable of it, line by line.
    pub(super) fn read(text: &str) -> Self {
        let mut samples = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, sample)) = read_line(line) {
                samples.0.entry(name.to_owned()).or_default().push(sample);
            }
        }
        samples
    }

    fn all(&self, name: &str) -> &[Sample] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// The sum of all series of that name; nothing when there is none.
    pub(super) fn value(&self, name: &str) -> Option<f64> {
        let all = self.all(name);
        (!all.is_empty()).then(|| all.iter().map(|sample| sample.value).sum())
    }

    /// The sum of those that have these labels.
    pub(super) fn with(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fitting = self.all(name).iter().filter(|sample| sample.has(labels));
        // Of nothing the library's sum is -0.
        fitting.map(|sample| sample.value).sum::<f64>() + 0.0
    }

    /// Whether there is a series with these labels.
    pub(super) fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.all(name).iter().any(|sample| sample.has(labels))
    }

    /// What a label of that name says, once each, in order.
    pub(super) fn labels(&self, name: &str, label: &str) -> Vec<&str> {
        let mut labels: Vec<&str> = self
            .all(name)
            .iter()
            .filter_map(|sample| sample.labels.get(label).map(String::as_str))
            .collect();
        labels.sort_unstable();
        labels.dedup();
        labels
    }

    /// The buckets of a histogram, all series with these labels together: each bound with how many are at most that.
    pub(super) fn buckets(&self, name: &str, labels: &[(&str, &str)]) -> Vec<(f64, f64)> {
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        let name = format!("{name}_bucket");
        let fitting = self.all(&name).iter().filter(|sample| sample.has(labels));
        for sample in fitting {
            let bound = sample.labels.get("le").and_then(|bound| bound.parse().ok());
            let Some(bound) = bound else { continue };
            match buckets
                .iter_mut()
                .find(|bucket| bucket.0.total_cmp(&bound).is_eq())
            {
                Some(bucket) => bucket.1 += sample.value,
                None => buckets.push((bound, sample.value)),
            }
        }
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        buckets
    }
}

impl Sample {
    fn has(&self, labels: &[(&str, &str)]) -> bool {
        let mut labels = labels.iter();
        labels.all(|(name, value)| self.labels.get(*name).is_some_and(|is| is == value))
    }
}

/// `name{label="value",…} number`, or `name number`.
fn read_line(line: &str) -> Option<(&str, Sample)> {
    let (series, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, mut rest)) = series.split_once('{') else {
        let labels = BTreeMap::new();
        return Some((series, Sample { labels, value }));
    };
    let mut labels = BTreeMap::new();
    while rest != "}" {
        let (label, after) = rest.split_once("=\"")?;
        let mut text = String::new();
        let mut characters = after.chars();
        loop {
            match characters.next()? {
                '"' => break,
                '\\' => text.push(match characters.next()? {
                    'n' => '\n',
                    other => other,
                }),
                other => text.push(other),
            }
        }
        labels.insert(label.to_owned(), text);
        rest = characters.as_str();
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    Some((name, Sample { labels, value }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_prometheus_is_read() {
        let samples = Samples::read(
            "# HELP a_total what\n# TYPE a_total counter\na_total{x=\"1\",y=\"a \\\"b\\\" \\\\\"} 2\n\
             a_total{x=\"2\",y=\"c, d\"} 3.5\nplain 7\n\nbroken{x=\"1 2\nno number\n\
             h_bucket{x=\"1\",le=\"0.5\"} 1\nh_bucket{x=\"2\",le=\"0.5\"} 2\nh_bucket{x=\"1\",le=\"+Inf\"} 4\n",
        );
        assert_eq!(samples.value("plain"), Some(7.0));
        assert_eq!(samples.value("a_total"), Some(5.5));
        assert_eq!(samples.value("absent"), None);
        assert_eq!(Some(samples.with("a_total", &[("x", "2")])), Some(3.5));
        assert_eq!(Some(samples.with("a_total", &[("x", "3")])), Some(0.0));
        assert_eq!(samples.labels("a_total", "y"), ["a \"b\" \\", "c, d"]);
        assert_eq!(
            samples.buckets("h", &[]),
            [(0.5, 3.0), (f64::INFINITY, 4.0)]
        );
        assert_eq!(samples.buckets("h", &[("x", "2")]), [(0.5, 2.0)]);
    }
}
