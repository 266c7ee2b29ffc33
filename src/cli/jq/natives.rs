//! Native filters of our own: rows of CSV and TSV, and those that reach the outside of the expression.

use jaq_core::native::{Filter, Fun, bome, run, v};
use jaq_core::{Error, RunPtr, ValXs};
use jaq_json::{Map, Val};

use super::{Data, write};
use crate::cli::print;
use crate::config::environment;

/// jaq's natives that ours replace: they read the environment or write to standard error by themselves, and panic
/// when a variable is not Unicode or nobody reads.
pub(super) const REPLACED: [&str; 3] = ["env", "debug_empty", "stderr_empty"];

/// The natives that jaq lacks, or that must go through this house's own doors.
pub(super) fn ours() -> impl Iterator<Item = Fun<Data>> {
    let natives: [Filter<RunPtr<Data>>; 5] = [
        ("@csv", v(0), |cv| bome(row(&cv.1, "csv", ',', csv_field))),
        ("@tsv", v(0), |cv| bome(row(&cv.1, "tsv", '\t', tsv_field))),
        ("env", v(0), |_| bome(Ok(environment()))),
        ("debug_empty", v(0), |cv| {
            debug(&cv.1);
            nothing()
        }),
        ("stderr_empty", v(0), |cv| {
            stderr(&cv.1);
            nothing()
        }),
    ];
    natives.into_iter().map(run::<Data>)
}

/// The environment as an object.
pub(super) fn environment() -> Val {
    let variables = environment::variables().into_iter();
    let map: Map = variables
        .map(|(name, value)| (Val::from(name), Val::from(value)))
        .collect();
    Val::obj(map)
}

fn nothing<'a>() -> ValXs<'a, Val> {
    Box::new(std::iter::empty())
}

fn debug(value: &Val) {
    if let Ok(json) = write::json(value, true) {
        print::words(&format!("[\"DEBUG:\",{json}]"));
    }
}

fn stderr(value: &Val) {
    match value {
        Val::TStr(text) => print::words(String::from_utf8_lossy(text).trim_end_matches('\n')),
        _ => print::words(&write::json(value, true).unwrap_or_default()),
    }
}

fn row(
    value: &Val,
    format: &'static str,
    separator: char,
    field: fn(&str) -> String,
) -> Result<Val, Error<Val>> {
    let Val::Arr(values) = value else {
        let shown = write::json(value, true).unwrap_or_default();
        return Err(Error::str(format!(
            "{shown} cannot be {format}-formatted, only an array can be"
        )));
    };
    let mut row = String::new();
    for (place, value) in values.iter().enumerate() {
        if place > 0 {
            row.push(separator);
        }
        match value {
            Val::Null => {}
            Val::TStr(text) => row.push_str(&field(&String::from_utf8_lossy(text))),
            Val::Bool(_) | Val::Num(_) => {
                row.push_str(&write::json(value, true).map_err(Error::str)?);
            }
            Val::BStr(_) | Val::Arr(_) | Val::Obj(_) => {
                let shown = write::json(value, true).unwrap_or_default();
                return Err(Error::str(format!(
                    "{shown} is not valid in a {format} row"
                )));
            }
        }
    }
    Ok(Val::from(row))
}

/// RFC 4180, as jq writes it: every string in quotes.
fn csv_field(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn tsv_field(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('\t', "\\t")
        .replace('\n', "\\n")
        .replace('\r', "\\r")
}
