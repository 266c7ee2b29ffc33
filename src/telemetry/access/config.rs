use std::path::PathBuf;

use serde::Deserialize;

/// What is told of calls, as written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessLogConfig {
    /// Where the lines go.
    pub to: AccessLogPlace,
    /// Which share of calls is told of.
    pub sample: Sample,
    /// How many refusals are told of in a second, in the whole process; and how many calls that failed and are not in the
    /// sample.
    pub refusals_per_second: u32,
    /// Whether a line says from where the caller connected.
    pub client_address: bool,
}

impl Default for AccessLogConfig {
    fn default() -> Self {
        Self {
            to: AccessLogPlace::Off,
            sample: Sample::ALL,
            refusals_per_second: 100,
            client_address: false,
        }
    }
}

/// Where lines about calls go.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum AccessLogPlace {
    /// Nowhere: there are none.
    Off,
    /// Standard output.
    Stdout,
    /// Standard error, between the lines of the log.
    Stderr,
    /// The end of this file.
    File(PathBuf),
}

/// A text that is no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be `off`, `stdout`, `stderr`, or a path with a `/` in it")]
pub struct NotAPlace;

impl TryFrom<String> for AccessLogPlace {
    type Error = NotAPlace;

    fn try_from(text: String) -> Result<Self, NotAPlace> {
        match text.as_str() {
            "off" => Ok(Self::Off),
            "stdout" => Ok(Self::Stdout),
            "stderr" => Ok(Self::Stderr),
            // A word alone would be a typing mistake more often than a file.
            path if path.contains('/') && !path.ends_with('/') => Ok(Self::File(text.into())),
            _ => Err(NotAPlace),
        }
    }
}

/// A share of all traces, chosen by their ids: whoever chooses by the same rule chooses the same ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Sample {
    /// Out of 2^56.
    taken: u64,
}

/// A number that is no share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be from 0 (none) to 1 (all)")]
pub struct NotAShare;

/// The random part of a trace's id: its last 56 bits (Trace Context Level 2, 4.2.1.2).
const RANDOM_BITS: u32 = 56;

impl Sample {
    /// Every trace.
    pub const ALL: Self = Self {
        taken: 1 << RANDOM_BITS,
    };

    /// Whether the trace with this id is in the sample. The same answer for the same id, wherever it is asked; and one that
    /// is in a small sample is in every larger one (OpenTelemetry, "`TraceState`: Probability Sampling").
    #[must_use]
    pub const fn takes(self, trace_id: u128) -> bool {
        let random = trace_id & ((1 << RANDOM_BITS) - 1);
        random >= (1 << RANDOM_BITS) - self.taken as u128
    }
}

impl TryFrom<f64> for Sample {
    type Error = NotAShare;

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of 2^56 is one of the numbers from 0 to 2^56"
    )]
    fn try_from(share: f64) -> Result<Self, NotAShare> {
        let is_share = (0.0..=1.0).contains(&share);
        let taken = (share * (1_u64 << RANDOM_BITS) as f64).round() as u64;
        is_share.then_some(Self { taken }).ok_or(NotAShare)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use xxhash_rust::xxh3::xxh3_128;

    use super::*;

    #[rstest]
    #[case("off", Ok(AccessLogPlace::Off))]
    #[case("stdout", Ok(AccessLogPlace::Stdout))]
    #[case("stderr", Ok(AccessLogPlace::Stderr))]
    #[case("./a.log", Ok(AccessLogPlace::File("./a.log".into())))]
    #[case("stdut", Err(NotAPlace))]
    #[case("/var/log/", Err(NotAPlace))]
    #[case("", Err(NotAPlace))]
    fn a_place_is_a_word_or_a_path(
        #[case] text: &str,
        #[case] place: Result<AccessLogPlace, NotAPlace>,
    ) {
        assert_eq!(AccessLogPlace::try_from(text.to_owned()), place);
    }

    #[rstest]
    #[case(0.0, 0, 0)]
    #[case(1.0, 10_000, 10_000)]
    #[case(0.1, 900, 1100)]
    #[case(0.5, 4800, 5200)]
    fn a_sample_is_as_large_as_it_says(
        #[case] share: f64,
        #[case] least: usize,
        #[case] most: usize,
    ) {
        let sample = Sample::try_from(share).unwrap();
        let ids = (0..10_000_u32).map(|number| xxh3_128(&number.to_le_bytes()));
        let taken = ids.filter(|id| sample.takes(*id)).count();
        assert!((least..=most).contains(&taken), "{taken}");
    }

    #[test]
    fn what_is_in_a_small_sample_is_in_a_larger_one() {
        let [small, large] = [0.01, 0.1].map(|share| Sample::try_from(share).unwrap());
        for number in 0..10_000_u32 {
            let id = xxh3_128(&number.to_le_bytes());
            assert!(!small.takes(id) || large.takes(id));
        }
    }

    #[rstest]
    #[case(-0.1)]
    #[case(1.1)]
    #[case(f64::NAN)]
    fn what_is_no_share_is_refused(#[case] share: f64) {
        assert_eq!(Sample::try_from(share), Err(NotAShare));
    }
}
