//! Where log lines go, in which form, and which of them.
//!
//! They go to standard error, one line for each event whatever a string holds: JSON escapes by itself, and text escapes
//! control characters, so that nobody can write a line of their own or colour a terminal (SECURITY X4).

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::io;
use std::panic::{self, PanicHookInfo};

use anstream::{AutoStream, ColorChoice};
use serde::Deserialize;
use tracing::Subscriber;
use tracing::field::Field;
use tracing_subscriber::fmt::format::{self, FormatFields, Writer};
use tracing_subscriber::fmt::{Layer, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, Registry, reload};

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
        let directives: Vec<&str> = self.level.split(',').map(str::trim).collect();
        for directive in &directives {
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
            .parse(directives.join(","))
            .map_err(|error| format!("must be levels such as `info,keyward::cache=debug`: {error}"))
    }
}

/// Changes which lines are logged while the process runs. Cheap to clone; every clone changes the same.
#[derive(Debug, Clone)]
pub struct LogControl(reload::Handle<EnvFilter, Registry>);

impl LogControl {
    /// Lets through what `config.level` says from now on. The form stays.
    ///
    /// # Errors
    ///
    /// What is wrong with the level; then nothing has changed.
    pub fn set(&self, config: &LogConfig) -> Result<(), String> {
        let filter = config.filter()?;
        self.0.reload(filter).map_err(|error| error.to_string())
    }
}

/// Why the process cannot log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is wrong.
    #[error("log.level: {0}")]
    Level(String),
    /// Somebody else logs in this process already.
    #[error("this process logs already")]
    Taken,
}

/// Logs to standard error from now on, panics too.
///
/// # Errors
///
/// When the level is wrong, or when the process logs already.
pub fn start(config: &LogConfig) -> Result<LogControl, LogError> {
    let form = Form::of(config.format);
    let (subscriber, control) = subscriber(config, form, io::stderr).map_err(LogError::Level)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Taken)?;
    panic::set_hook(Box::new(log_panic));
    Ok(control)
}

/// How lines look, all questions answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Text { colour: bool },
}

impl Form {
    fn of(format: LogFormat) -> Self {
        let is_terminal = io::IsTerminal::is_terminal(&io::stderr());
        match format {
            LogFormat::Json => Self::Json,
            LogFormat::Auto if !is_terminal => Self::Json,
            // What `NO_COLOR`, `TERM` and the terminal say.
            LogFormat::Auto | LogFormat::Text => Self::Text {
                colour: AutoStream::choice(&io::stderr()) != ColorChoice::Never,
            },
        }
    }
}

fn subscriber<W>(
    config: &LogConfig,
    form: Form,
    writer: W,
) -> Result<(Box<dyn Subscriber + Send + Sync>, LogControl), String>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(config.filter()?);
    // A line that cannot be written is lost: telling so would go to the same place, and end the process.
    let layer = Layer::new().with_writer(writer).log_internal_errors(false);
    let registry = tracing_subscriber::registry().with(filter);
    let subscriber: Box<dyn Subscriber + Send + Sync> = match form {
        Form::Json => Box::new(registry.with(layer.json().flatten_event(true).with_ansi(false))),
        Form::Text { colour } => {
            let layer = layer.with_ansi(colour).fmt_fields(OneLine);
            Box::new(registry.with(layer))
        }
    };
    Ok((subscriber, LogControl(handle)))
}

/// Writes the fields of an event so that they stay on one line.
#[derive(Debug, Clone, Copy)]
struct OneLine;

impl<'w> FormatFields<'w> for OneLine {
    fn format_fields<R: tracing_subscriber::field::RecordFields>(
        &self,
        writer: Writer<'w>,
        fields: R,
    ) -> fmt::Result {
        let write = |writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug| {
            let value = one_line(&format!("{value:?}"));
            match field.name() {
                "message" => write!(writer, "{value}"),
                name => write!(writer, "{}={value}", name.trim_start_matches("r#")),
            }
        };
        let spaced = tracing_subscriber::field::MakeExt::delimited(format::debug_fn(write), " ");
        spaced.format_fields(writer, fields)
    }
}

/// `text` with every control character written as an escape.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_separator(character) {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// What some readers take for a line end, or for an order to turn the text round.
const fn is_separator(character: char) -> bool {
    matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Tells of a panic as of any other error: in one line, where the other lines are.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let said = panic.payload_as_str().unwrap_or("no words");
    let place = panic.location().map(ToString::to_string);
    let backtrace = Backtrace::capture();
    let thread = std::thread::current();
    tracing::error!(
        panic.message = said,
        panic.place = place,
        panic.thread = thread.name(),
        panic.backtrace = (backtrace.status() == BacktraceStatus::Captured)
            .then(|| tracing::field::display(&backtrace)),
        "a part of the program panicked; this is a mistake in keyward",
    );
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use rstest::rstest;

    use super::*;

    /// What was logged.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Written {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn at(level: &str) -> LogConfig {
        LogConfig {
            level: level.to_owned(),
            format: LogFormat::Auto,
        }
    }

    /// What `log` logs.
    fn logged(level: &str, form: Form, log: impl FnOnce(&LogControl)) -> String {
        let written = Written::default();
        let writer = written.clone();
        let (subscriber, control) =
            subscriber(&at(level), form, move || writer.clone()).expect("a valid level");
        tracing::subscriber::with_default(subscriber, || log(&control));
        written.text()
    }

    const NASTY: &str = "one\ntwo\r\x1b[31m\"three\u{2028}\u{202e}\0";

    #[rstest]
    #[case::text(Form::Text { colour: false })]
    #[case::json(Form::Json)]
    fn an_event_is_one_line_whatever_its_strings_hold(#[case] form: Form) {
        let text = logged("info", form, |_| {
            tracing::info!(as_text = NASTY, shown = %NASTY, debug = ?NASTY, "message {NASTY}");
        });
        assert_eq!(text.matches('\n').count(), 1, "{text:?}");
        assert!(text.ends_with('\n'), "{text:?}");
        assert!(!text.contains(['\r', '\x1b', '\0']), "{text:?}");
    }

    #[test]
    fn json_holds_the_strings_as_they_were() {
        let text = logged("info", Form::Json, |_| {
            tracing::warn!(store.query = "find", shown = %NASTY, wait_ms = 20_u64, "did not answer");
        });
        let json: serde_json::Value = serde_json::from_str(&text).expect("one JSON object");
        assert_eq!(json["level"], "WARN");
        assert_eq!(json["message"], "did not answer");
        assert_eq!(json["store.query"], "find");
        assert_eq!(json["shown"], NASTY);
        assert_eq!(json["wait_ms"], 20);
        assert_eq!(json["target"], "keyward::telemetry::logging::tests");
        assert!(json["timestamp"].is_string(), "{json}");
    }

    #[test]
    fn text_reads_from_left_to_right() {
        let text = logged("info", Form::Text { colour: false }, |_| {
            tracing::warn!(store.query = "find", wait_ms = 20_u64, "did not answer");
        });
        let (_, line) = text.split_once("  WARN ").expect("a level");
        assert_eq!(
            line,
            "keyward::telemetry::logging::tests: did not answer store.query=\"find\" wait_ms=20\n"
        );
    }

    #[test]
    fn the_level_can_change_while_the_process_runs() {
        let text = logged("warn", Form::Json, |control| {
            tracing::info!("first");
            control.set(&at("keyward=debug")).expect("a valid level");
            tracing::debug!("second");
            let wrong = control.set(&at("loud")).expect_err("no level");
            assert!(wrong.starts_with("`loud` is no level"), "{wrong}");
            tracing::debug!("third");
            control.set(&at("off")).expect("a valid level");
            tracing::error!("fourth");
        });
        let told = ["first", "second", "third", "fourth"].map(|word| text.contains(word));
        assert_eq!(told, [false, true, true, false], "{text}");
    }

    #[rstest]
    #[case("info", true)]
    #[case("WARN", true)]
    #[case("info,keyward::cache=debug", true)]
    #[case("info, hyper=off", true)]
    #[case("keyward[request]=debug", true)]
    #[case("inof", false)]
    #[case("keyward", false)]
    #[case("keyward=loud", false)]
    #[case("", false)]
    #[case("info,", false)]
    fn a_level_is_a_level_and_not_a_part(#[case] level: &str, #[case] is_valid: bool) {
        assert_eq!(at(level).filter().is_ok(), is_valid);
    }

    #[test]
    fn a_panic_is_one_line_that_says_where() {
        let text = logged("error", Form::Json, |_| {
            let old = panic::take_hook();
            // Other tests may panic meanwhile: only this thread logs here.
            panic::set_hook(Box::new(log_panic));
            let result = panic::catch_unwind(|| panic!("{NASTY}"));
            panic::set_hook(old);
            assert!(result.is_err());
        });
        let json: serde_json::Value = serde_json::from_str(&text).expect("one JSON object");
        assert_eq!(json["level"], "ERROR");
        assert_eq!(json["panic.message"], NASTY);
        let place = json["panic.place"].as_str().expect("a place");
        assert!(place.contains("logging.rs:"), "{place}");
    }
}
