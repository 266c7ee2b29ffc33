//! Values as JSON. jaq's own writer prints what JSON does not have (`NaN`, byte strings, numbers as member names);
//! this one does as jq and gojq do.

use jaq_json::{Num, Val};

/// The value has no form in JSON.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("jq error: the name of an object's member is not a string")]
pub(super) struct NotJson;

/// `value` as JSON, members sorted; on one line when `compact`, otherwise indented by 2.
///
/// # Errors
///
/// When an object has a member whose name is no string.
pub(super) fn json(value: &Val, compact: bool) -> Result<String, NotJson> {
    let mut out = String::new();
    Writer { compact }.value(&mut out, value, 0)?;
    Ok(out)
}

struct Writer {
    compact: bool,
}

impl Writer {
    fn value(&self, out: &mut String, value: &Val, depth: usize) -> Result<(), NotJson> {
        match value {
            Val::Null => out.push_str("null"),
            Val::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
            Val::Num(number) => out.push_str(&self::number(number)),
            Val::TStr(bytes) | Val::BStr(bytes) => {
                out.push_str(&string(&String::from_utf8_lossy(bytes)));
            }
            Val::Arr(values) => {
                self.list(out, ['[', ']'], depth, values.iter(), |out, value| {
                    self.value(out, value, depth + 1)
                })?;
            }
            Val::Obj(map) => {
                let mut members = Vec::with_capacity(map.len());
                for (name, value) in map.iter() {
                    members.push((name_of(name)?, value));
                }
                members.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
                let members = members.into_iter();
                self.list(out, ['{', '}'], depth, members, |out, (name, value)| {
                    out.push_str(&string(&name));
                    out.push_str(if self.compact { ":" } else { ": " });
                    self.value(out, value, depth + 1)
                })?;
            }
        }
        Ok(())
    }

    fn list<T>(
        &self,
        out: &mut String,
        [open, close]: [char; 2],
        depth: usize,
        items: impl ExactSizeIterator<Item = T>,
        mut write: impl FnMut(&mut String, T) -> Result<(), NotJson>,
    ) -> Result<(), NotJson> {
        let is_empty = items.len() == 0;
        out.push(open);
        for (place, item) in items.enumerate() {
            if place > 0 {
                out.push(',');
            }
            self.line_end(out, depth + 1);
            write(out, item)?;
        }
        if !is_empty {
            self.line_end(out, depth);
        }
        out.push(close);
        Ok(())
    }

    fn line_end(&self, out: &mut String, depth: usize) {
        if !self.compact {
            out.push('\n');
            out.push_str(&"  ".repeat(depth));
        }
    }
}

fn name_of(name: &Val) -> Result<String, NotJson> {
    match name {
        Val::TStr(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
        _ => Err(NotJson),
    }
}

fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A number as jq writes it: integers without a point, what JSON has no word for as null or the largest number.
fn number(number: &Num) -> String {
    match number {
        Num::Float(float) if float.is_nan() => "null".to_owned(),
        Num::Float(float) if float.is_infinite() => format!("{:e}", f64::MAX.copysign(*float)),
        Num::Float(float) if float.fract() == 0.0 && float.abs() < 1e17 => format!("{float:.0}"),
        other => other.to_string(),
    }
}
