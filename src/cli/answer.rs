//! What a command has to say, and in which form it says it.

use anyhow::anyhow;
use clap::ValueEnum;
use serde::Serialize;

use super::failure::{self, Failure};
use super::jq::{Jq, Style};
use super::print::{self, Stream};
use crate::credential::SecretText;

/// The forms of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// JSON, indented by 2.
    Json,
    /// JSON on one line.
    Jsonl,
    /// No data; words still go to standard error.
    None,
}

/// An answer in all its forms. No `Debug`: one of them may hold a new key.
pub struct Answer {
    /// None when it was written already.
    json: Option<serde_json::Value>,
    text: String,
    words: Option<String>,
    shows: Option<SecretText>,
    code: u8,
}

impl Answer {
    /// An answer that is `payload` in JSON, and nothing as text until [`Answer::text`] or [`Answer::words`] say more.
    ///
    /// # Errors
    ///
    /// When `payload` is not JSON.
    pub fn new(payload: &impl Serialize) -> anyhow::Result<Self> {
        Ok(Self {
            json: Some(serde_json::to_value(payload)?),
            text: String::new(),
            words: None,
            shows: None,
            code: 0,
        })
    }

    /// An answer whose data was written already, or which has none but text: what is not asked for is not made.
    #[must_use]
    pub const fn written() -> Self {
        Self {
            json: None,
            text: String::new(),
            words: None,
            shows: None,
            code: 0,
        }
    }

    /// Whole lines for standard output, for people.
    #[must_use]
    pub fn text(self, text: String) -> Self {
        Self { text, ..self }
    }

    /// A sentence for standard error, for people.
    #[must_use]
    pub fn words(self, words: impl Into<String>) -> Self {
        Self {
            words: Some(words.into()),
            ..self
        }
    }

    /// Says that the command ends with this code once the answer is written.
    #[must_use]
    pub fn ending(self, code: u8) -> Self {
        Self { code, ..self }
    }

    /// Says that the answer is the only one that shows `key`: it is told when that could not be done.
    #[must_use]
    pub fn showing(self, key: SecretText) -> Self {
        Self {
            shows: Some(key),
            ..self
        }
    }
}

/// How answers are written: made before anything is asked, so that a mistake in it costs nothing.
#[derive(Debug)]
pub struct Form {
    format: Format,
    jq: Option<Jq>,
}

impl Form {
    /// The form that the flags ask for.
    ///
    /// # Errors
    ///
    /// When an expression comes with `text` or `none`, or cannot be compiled.
    pub fn new(format: Option<Format>, jq: Option<&str>, raw: bool) -> anyhow::Result<Self> {
        let Some(expression) = jq else {
            let format = format.unwrap_or(Format::Text);
            return Ok(Self { format, jq: None });
        };
        let format = format.unwrap_or(Format::Json);
        let compact = match format {
            Format::Json => false,
            Format::Jsonl => true,
            Format::Text => return Err(not_with_jq("text")),
            Format::None => return Err(not_with_jq("none")),
        };
        let jq = Some(Jq::compile(expression, Style { compact, raw })?);
        Ok(Self { format, jq })
    }

    /// Writes `answer`. Blocks while standard output does.
    ///
    /// # Errors
    ///
    /// When it cannot be written, or the expression fails over it.
    pub fn write(&self, answer: &Answer) -> anyhow::Result<()> {
        let result = self.write_data(answer);
        match (result, &answer.shows) {
            (Err(error), Some(key)) => Err(not_shown(error, key.reveal())),
            (Ok(()), _) if answer.code != 0 => Err(Failure::Halted(answer.code).into()),
            (result, _) => result,
        }
    }

    fn write_data(&self, answer: &Answer) -> anyhow::Result<()> {
        if let (Some(jq), Some(payload)) = (&self.jq, &answer.json) {
            let mut out = Stream::new();
            let result = jq.run(&payload.to_string(), &mut out);
            out.finish()?;
            return result;
        }
        match (self.format, &answer.json) {
            (Format::Json, Some(payload)) => json(&serde_json::to_string_pretty(payload)?),
            (Format::Jsonl, Some(payload)) => json(&payload.to_string()),
            (Format::Json | Format::Jsonl, None) => Ok(()),
            (Format::Text, _) => {
                say(answer);
                Ok(print::data(&answer.text)?)
            }
            (Format::None, _) => {
                say(answer);
                Ok(())
            }
        }
    }
}

/// Tells of a key that was made and could not be shown, or not wholly, because of `error`. An expression's complaint
/// may quote what it was given: the key is taken out.
fn not_shown(error: anyhow::Error, key: &str) -> anyhow::Error {
    let prefix = key.split('.').next().unwrap_or_default();
    print::words(&format!(
        "The key {prefix} was made all the same. Delete it unless its text stands above."
    ));
    let told = failure::told(&error);
    if told.contains(key) {
        anyhow!(told.replace(key, "***"))
    } else {
        error
    }
}

fn not_with_jq(format: &str) -> anyhow::Error {
    Failure::Usage(format!("--jq cannot be used with --output {format}")).into()
}

fn json(json: &str) -> anyhow::Result<()> {
    let mut out = Stream::new();
    out.json(json)?;
    Ok(out.finish()?)
}

fn say(answer: &Answer) {
    if let Some(words) = &answer.words {
        print::words(words);
    }
}
