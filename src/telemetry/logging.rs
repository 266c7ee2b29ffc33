//! Where log lines go, in which form, and which of them.

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// What is logged, as written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Which lines: a level, and levels for parts of the program: `info,keyward::cache=debug`.
    pub level: String,
    /// In which form.
    pub format: LogFormat,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::default(),
        }
    }
}

/// The words that stand for a level.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl LogConfig {
    /// Which lines `level` lets through.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong. A lone word that is no level is wrong, too: `EnvFilter` would take it for
    /// the name of a part of the program, and log everything there.
    pub fn filter(&self) -> Result<EnvFilter, String> {
        for directive in self.level.split(',').map(str::trim) {
            let is_level = LEVELS
                .iter()
                .any(|level| directive.eq_ignore_ascii_case(level));
            if !is_level && !directive.contains(['=', '[']) {
                let levels = LEVELS.join("`, `");
                let shown = directive.escape_debug();
                return Err(format!(
                    "`{shown}` is no level: write one of `{levels}`, or `part=level`"
                ));
            }
        }
        EnvFilter::builder()
            .parse(&self.level)
            .map_err(|error| format!("must be levels such as `info,keyward::cache=debug`: {error}"))
    }
}
