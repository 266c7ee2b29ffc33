//! Metrics in Prometheus's text format, cut to the samples of some models while they stream.

use std::sync::Arc;

use bytes::Bytes;

use crate::key::ModelId;

/// The longest line, in bytes. A sample has some 200; Prometheus itself bounds names and values of labels, where it does,
/// by some thousands.
pub(in crate::proxy) const MAX_LINE_BYTES: usize = 64 * 1024;

/// Lets the samples pass whose label names a model of the key's, and of the comments those that describe.
///
/// Read is the text format (Prometheus, "Exposition formats") and what `OpenMetrics` adds to it. A line that is neither a
/// sample with the label once nor a description is left out: what cannot be judged is not shown.
pub(in crate::proxy) struct SampleFilter {
    label: Arc<str>,
    is_for: Box<dyn Fn(ModelId<'_>) -> bool>,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
}

/// A line is longer than [`MAX_LINE_BYTES`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the upstream's metrics hold a line of more than {MAX_LINE_BYTES} bytes")]
pub(in crate::proxy) struct LineTooLong;

impl SampleFilter {
    /// A filter by `label`; `is_for` says whose models may pass.
    pub fn new(label: Arc<str>, is_for: impl Fn(ModelId<'_>) -> bool + 'static) -> Self {
        Self {
            label,
            is_for: Box::new(is_for),
            line: Vec::new(),
        }
    }

    /// What passes of the next piece, whole lines only.
    ///
    /// # Errors
    ///
    /// When a line is too long; nothing more may pass then.
    pub fn push(&mut self, piece: &[u8]) -> Result<Bytes, LineTooLong> {
        let mut passed = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + part.len() > MAX_LINE_BYTES {
                return Err(LineTooLong);
            }
            if !part.ends_with(b"\n") {
                self.line.extend_from_slice(part);
            } else if self.line.is_empty() {
                if self.passes(part) {
                    passed.extend_from_slice(part);
                }
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(part);
                if self.passes(&line) {
                    passed.extend_from_slice(&line);
                }
            }
        }
        Ok(Bytes::from(passed))
    }

    /// What passes of a last line without an end.
    pub fn finish(&mut self) -> Bytes {
        let line = std::mem::take(&mut self.line);
        if self.passes(&line) {
            Bytes::from(line)
        } else {
            Bytes::new()
        }
    }

    fn passes(&self, line: &[u8]) -> bool {
        let Ok(line) = str::from_utf8(line) else {
            return false;
        };
        let line = line.trim_matches(['\n', '\r', ' ', '\t']);
        if let Some(comment) = line.strip_prefix('#') {
            let word = comment.split_ascii_whitespace().next().unwrap_or_default();
            return matches!(word, "HELP" | "TYPE" | "UNIT" | "EOF");
        }
        label_of(line, &self.label).is_some_and(|model| (self.is_for)(ModelId::new(&model)))
    }
}

/// The value of the label `wanted` of a sample; `None` when it has none, or more, or is no sample.
fn label_of(sample: &str, wanted: &str) -> Option<String> {
    let (name, mut labels) = sample.split_once('{')?;
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':');
    if !name.trim_end().bytes().all(is_word) {
        return None;
    }
    let mut found = None;
    loop {
        labels = labels.trim_start();
        if let Some(value) = labels.strip_prefix('}') {
            let is_sample = value.split_ascii_whitespace().next().is_some();
            return found.filter(|_| is_sample);
        }
        let (name, rest) = labels.split_once('=')?;
        let name = name.trim();
        if name.is_empty() || !name.bytes().all(is_word) {
            return None;
        }
        let (value, rest) = quoted(rest.trim_start())?;
        if name == wanted && found.replace(value).is_some() {
            return None;
        }
        labels = rest.trim_start();
        labels = match labels.strip_prefix(',') {
            Some(rest) => rest,
            None if labels.starts_with('}') => labels,
            None => return None,
        };
    }
}

/// The text in quotes at the beginning, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut chars = text.strip_prefix('"')?.chars();
    let mut value = String::new();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(match chars.next()? {
                'n' => '\n',
                plain @ ('\\' | '"') => plain,
                _ => return None,
            }),
            plain => value.push(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn filter() -> SampleFilter {
        SampleFilter::new("model_name".into(), |model| {
            matches!(model.as_str(), "m1" | "a\"}b\\,\n")
        })
    }

    #[rstest]
    #[case("# HELP vllm:x Of m2, too.", true)]
    #[case("# TYPE vllm:x counter", true)]
    #[case("# UNIT x seconds", true)]
    #[case("# EOF", true)]
    #[case("# about m2", false)]
    #[case("#", false)]
    #[case("", false)]
    #[case(r#"vllm:x{engine="0",model_name="m1"} 1.0"#, true)]
    #[case(r#"vllm:x { model_name = "m1" , } 1.0 1700000000000"#, true)]
    #[case(r#"x_bucket{le="+Inf",model_name="m1"} 3 # {trace_id="t"} 0.5"#, true)]
    #[case(r#"x{model_name="a\"}b\\,\n"} 1"#, true)]
    #[case(r#"vllm:x{engine="0",model_name="m2"} 1.0"#, false)]
    #[case(r#"x{model_name="m1",model_name="m2"} 1"#, false)]
    #[case(r#"x{model_name="m1",model_name="m1"} 1"#, false)]
    #[case(r#"x{model="m1"} 1"#, false)]
    #[case(r#"x{other="model_name=\"m1\""} 1"#, false)]
    #[case("process_cpu_seconds_total 1", false)]
    #[case("x{} 1", false)]
    #[case(r#"x{model_name="m1"}"#, false)]
    #[case(r#"x{model_name="m1" 1"#, false)]
    #[case(r#"x{model_name="m1"#, false)]
    #[case("x{model_name=m1} 1", false)]
    #[case(r#"x{model_name="m\1"} 1"#, false)]
    #[case(r#"{"x",model_name="m1"} 1"#, false)]
    #[case(r#"x y{model_name="m1"} 1"#, false)]
    #[case(r#"x{a="1"b="2",model_name="m1"} 1"#, false)]
    fn a_line_passes_when_it_is_about_a_model_of_the_key(#[case] line: &str, #[case] passes: bool) {
        let line = format!("{line}\n");
        let passed = filter().push(line.as_bytes()).unwrap();
        assert_eq!(!passed.is_empty(), passes, "{passed:?}");
        assert!(passed.is_empty() || passed == line);
    }

    #[test]
    fn a_last_line_needs_no_end() {
        let mut filter = filter();
        assert_eq!(filter.push(b"x{model_name=\"m1\"} 1").unwrap(), "");
        assert_eq!(filter.finish(), "x{model_name=\"m1\"} 1");
        assert_eq!(filter.push(b"x{model_name=\"m2\"} 1").unwrap(), "");
        assert_eq!(filter.finish(), "");
        assert_eq!(filter.finish(), "");
    }

    #[test]
    fn a_line_that_does_not_end_is_not_held_for_ever() {
        let mut filter = filter();
        let piece = [b'x'; 1024];
        for _ in 0..MAX_LINE_BYTES / piece.len() {
            assert_eq!(filter.push(&piece).unwrap(), "");
        }
        assert_eq!(filter.push(b"x"), Err(LineTooLong));
        assert!(filter.line.len() <= MAX_LINE_BYTES);
    }

    proptest! {
        #[test]
        fn how_it_is_cut_into_pieces_changes_nothing(
            lines in prop::collection::vec(prop::sample::select(vec![
                "# TYPE x counter\n", "x{model_name=\"m1\"} 1\n", "x{model_name=\"m2\"} 2\r\n", "x 3\n", "\n",
            ]), 0..12),
            cuts in prop::collection::vec(0usize..300, 0..8),
        ) {
            let text = lines.concat();
            let mut whole = filter().push(text.as_bytes()).unwrap().to_vec();
            whole.extend_from_slice(&filter().finish());
            let mut cuts: Vec<_> = cuts.into_iter().map(|at| at.min(text.len())).collect();
            cuts.sort_unstable();
            let mut cut = filter();
            let (mut passed, mut from) = (Vec::new(), 0);
            for to in cuts.into_iter().chain([text.len()]) {
                passed.extend_from_slice(&cut.push(&text.as_bytes()[from..to]).unwrap());
                from = to;
            }
            passed.extend_from_slice(&cut.finish());
            prop_assert_eq!(&passed, &whole);
            prop_assert!(!String::from_utf8(passed).unwrap().contains("m2"));
        }
    }
}
