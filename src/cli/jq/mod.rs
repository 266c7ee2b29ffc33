//! `--jq`: an expression compiled before anything is asked, and run over what came back.
//!
//! The language is jaq's. On top of it stand `@csv` and `@tsv` (jaq has them only beside YAML, XML and CBOR), and
//! `$ENV`; in place of its own, the natives that read the environment or write to standard error. Values are written
//! as jq and gojq write them: members sorted, strings quoted unless `raw`, and always valid JSON.

mod complaint;
mod natives;
mod write;

use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, data};
use jaq_json::{Val, read};

use super::failure::Failure;
use super::print::Stream;

type Data = data::JustLut<Val>;
type Filter = jaq_core::Filter<Data>;

/// As much of a complaint as is told.
const MAX_THROWN_CHARS: usize = 1000;

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// One line a result, rather than indented by 2.
    pub compact: bool,
    /// Strings as they are, without quotes.
    pub raw: bool,
}

/// A compiled expression.
pub struct Jq {
    filter: Filter,
    style: Style,
}

impl Jq {
    /// Compiles `expression`.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or names what does not exist; the message shows the place.
    pub fn compile(expression: &str, style: Style) -> anyhow::Result<Self> {
        let definitions = jaq_core::defs()
            .chain(jaq_std::defs())
            .chain(jaq_json::defs());
        let natives = jaq_core::funs::<Data>()
            .chain(jaq_std::funs())
            .chain(jaq_json::funs())
            .filter(|(name, ..)| !natives::REPLACED.contains(name))
            .chain(natives::ours());
        let arena = Arena::default();
        let file = File {
            code: expression,
            path: (),
        };
        let modules = Loader::new(definitions)
            .load(&arena, file)
            .map_err(|errors| anyhow::anyhow!(complaint::unreadable(&errors)))?;
        let filter = Compiler::default()
            .with_funs(natives)
            .with_global_vars(["$ENV"])
            .compile(modules)
            .map_err(|errors| anyhow::anyhow!(complaint::undefined(&errors)))?;
        Ok(Self { filter, style })
    }

    /// Runs over `json` and writes each result as it comes.
    ///
    /// # Errors
    ///
    /// When the expression fails while it runs, halts with another code than 0, or its results cannot be written;
    /// what came before is written.
    pub fn run(&self, json: &str, out: &mut Stream) -> anyhow::Result<()> {
        let input = read::parse_single(json.as_bytes())
            .map_err(|error| anyhow::anyhow!("the answer is not JSON: {error}"))?;
        let context = Ctx::<Data>::new(&self.filter.lut, Vars::new([natives::environment()]));
        for result in self.filter.id.run((context, input)) {
            let exception = match result {
                Ok(value) => {
                    self.write(&value, out)?;
                    continue;
                }
                Err(exception) => exception,
            };
            // Not `unwrap_valr`, which panics when the expression halts.
            return match exception.get_halt() {
                Ok(0) => Ok(()),
                Ok(code) => Err(Failure::Halted(u8::try_from(code & 0xff).unwrap_or(1)).into()),
                Err(exception) => Err(match exception.get_err() {
                    Ok(error) => anyhow::anyhow!("jq error: {}", thrown(error.into_val())),
                    Err(_) => anyhow::anyhow!("jq error: a `break` outside its label"),
                }),
            };
        }
        Ok(())
    }

    fn write(&self, value: &Val, out: &mut Stream) -> anyhow::Result<()> {
        match value {
            Val::TStr(text) if self.style.raw => out.raw(text)?,
            _ => out.json(&write::json(value, self.style.compact)?)?,
        }
        Ok(())
    }
}

/// What was thrown, in words: a string as it is, anything else as JSON; cut when long, since it may quote everything
/// that was listed.
fn thrown(value: Val) -> String {
    let told = match value {
        Val::TStr(text) => String::from_utf8_lossy(&text).into_owned(),
        value => write::json(&value, true).unwrap_or_else(|error| error.to_string()),
    };
    match told.char_indices().nth(MAX_THROWN_CHARS) {
        Some((end, _)) => told.split_at(end).0.to_owned() + "…",
        None => told,
    }
}

impl std::fmt::Debug for Jq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jq")
            .field("style", &self.style)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
