//! The handles of the log of calls.

use metrics::{Counter, Recorder};

use super::register_counter;

/// What became of a line about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccessLogResult {
    /// It was written.
    Written,
    /// There were too many refusals in its second.
    LeftOut,
    /// The place that lines go to is too slow for them.
    NoRoom,
    /// It could not be written.
    Failed,
}

impl AccessLogResult {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 4] = [Self::Written, Self::LeftOut, Self::NoRoom, Self::Failed];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::LeftOut => "left_out",
            Self::NoRoom => "no_room",
            Self::Failed => "failed",
        }
    }
}

/// What the log of calls counts.
#[derive(Clone)]
pub struct AccessLogMetrics([Counter; AccessLogResult::ALL.len()]);

impl AccessLogMetrics {
    pub(super) fn register(recorder: &dyn Recorder) -> Self {
        Self(AccessLogResult::ALL.map(|result| {
            let labels = [("result", result.as_str())];
            register_counter(recorder, "keyward_access_log_lines_total", &labels)
        }))
    }

    /// This became of so many lines.
    pub fn told(&self, result: AccessLogResult, lines: u64) {
        self.0[result as usize].increment(lines);
    }
}
