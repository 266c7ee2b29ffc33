//! One record of a file: its cells by the names of their columns, as text or as JSON.

use std::borrow::Cow;

use jiff::{Timestamp, civil, tz::TimeZone};
use serde_json::Value;

use crate::key::UnixTime;

/// What is wrong with a row, without any value of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    column: Option<&'static str>,
    why: Cow<'static, str>,
}

impl Problem {
    /// Something about the cell in `column`.
    pub fn at(column: &'static str, why: impl Into<Cow<'static, str>>) -> Self {
        Self {
            column: Some(column),
            why: why.into(),
        }
    }

    /// Something about the whole row.
    pub fn row(why: impl Into<Cow<'static, str>>) -> Self {
        Self {
            column: None,
            why: why.into(),
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(column) = self.column {
            write!(f, "{column}: ")?;
        }
        f.write_str(&self.why)
    }
}

/// Moments as a file may have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moments {
    /// RFC 3339, with a zone.
    Zoned,
    /// The same, or as databases write UTC without saying so, or milliseconds since 1970.
    Database,
}

/// A cell that holds something.
#[derive(Debug)]
pub enum Cell {
    /// Of comma-separated values.
    Text(String),
    /// Of a JSON object; never null.
    Json(Value),
}

impl Cell {
    fn says_something(&self) -> bool {
        match self {
            Self::Text(text) => !matches!(text.as_str(), "{}" | "[]" | "null" | "f" | "false"),
            Self::Json(Value::Object(members)) => !members.is_empty(),
            Self::Json(Value::Array(items)) => !items.is_empty(),
            Self::Json(Value::Bool(flag)) => *flag,
            Self::Json(_) => true,
        }
    }

    fn is_zero(&self) -> bool {
        match self {
            Self::Text(text) => text == "0",
            Self::Json(value) => value.as_f64() == Some(0.0),
        }
    }
}

/// The cells of a row that hold something, in the order of `columns`.
#[derive(Debug)]
pub struct Record {
    columns: &'static [&'static str],
    cells: Vec<Option<Cell>>,
}

impl Record {
    /// A record without any cell yet.
    pub fn new(columns: &'static [&'static str]) -> Self {
        let cells = columns.iter().map(|_| None).collect();
        Self { columns, cells }
    }

    /// Puts `cell` into the column at `place`. What is empty is left out; `false` when the column has a cell already.
    pub fn put(&mut self, place: usize, cell: Cell) -> bool {
        let is_empty = match &cell {
            Cell::Text(text) => text.is_empty(),
            Cell::Json(value) => value.is_null() || value == "",
        };
        match self.cells.get_mut(place) {
            Some(Some(_)) => false,
            Some(free) => {
                *free = Some(cell).filter(|_| !is_empty);
                true
            }
            None => true,
        }
    }

    fn cell(&self, column: &'static str) -> Option<&Cell> {
        let place = self.columns.iter().position(|known| *known == column)?;
        self.cells.get(place)?.as_ref()
    }

    /// The text in `column`.
    pub fn text(&self, column: &'static str) -> Result<Option<&str>, Problem> {
        match self.cell(column) {
            None => Ok(None),
            Some(Cell::Text(text) | Cell::Json(Value::String(text))) => Ok(Some(text)),
            Some(Cell::Json(_)) => Err(Problem::at(column, "a text belongs here")),
        }
    }

    /// What the text in `column` says as a `T`, whose error is not to hold any value.
    pub fn parsed<T>(&self, column: &'static str) -> Result<Option<T>, Problem>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        let text = self.text(column)?;
        let parsed = text.map(str::parse).transpose();
        parsed.map_err(|error: T::Err| Problem::at(column, error.to_string()))
    }

    /// Whether `column` says yes.
    pub fn flag(&self, column: &'static str) -> Result<Option<bool>, Problem> {
        let word = match self.cell(column) {
            None => return Ok(None),
            Some(Cell::Json(Value::Bool(flag))) => return Ok(Some(*flag)),
            Some(Cell::Json(Value::Number(number))) => Cow::Owned(number.to_string()),
            Some(Cell::Text(text) | Cell::Json(Value::String(text))) => {
                Cow::Borrowed(text.as_str())
            }
            Some(Cell::Json(_)) => Cow::Borrowed(""),
        };
        match word.as_ref() {
            "true" | "t" | "1" => Ok(Some(true)),
            "false" | "f" | "0" => Ok(Some(false)),
            _ => Err(Problem::at(column, "`true` or `false` belongs here")),
        }
    }

    /// The moment in `column`; fractions of a second are left out.
    pub fn moment(
        &self,
        column: &'static str,
        moments: Moments,
    ) -> Result<Option<UnixTime>, Problem> {
        let (text, is_number) = match self.cell(column) {
            None => return Ok(None),
            Some(Cell::Json(Value::Number(number))) => (Cow::Owned(number.to_string()), true),
            Some(Cell::Text(text) | Cell::Json(Value::String(text))) => {
                let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
                (Cow::Borrowed(text.as_str()), is_number)
            }
            Some(Cell::Json(_)) => (Cow::Borrowed(""), false),
        };
        let seconds = match moments {
            Moments::Database if is_number => text.parse::<i64>().ok().map(|ms| ms / 1000),
            Moments::Database => zoned(&text).or_else(|| in_utc(&text)),
            Moments::Zoned => zoned(&text),
        };
        let why = match moments {
            Moments::Zoned => "a moment is written like 2026-11-21T03:00:00Z",
            Moments::Database => {
                "a moment is written like 2026-11-21 03:00:00, or in milliseconds since 1970"
            }
        };
        let moment = seconds.and_then(UnixTime::from_stored);
        moment.map(Some).ok_or_else(|| Problem::at(column, why))
    }

    /// The list of texts in `column`: in JSON, also inside comma-separated values.
    pub fn list(&self, column: &'static str) -> Result<Option<Vec<String>>, Problem> {
        let list = match self.cell(column) {
            None => return Ok(None),
            Some(Cell::Text(text)) => serde_json::from_str(text).ok(),
            Some(Cell::Json(value)) => serde_json::from_value(value.clone()).ok(),
        };
        let why = "a list is written like [\"m1\",\"m2\"]";
        list.map(Some).ok_or_else(|| Problem::at(column, why))
    }

    /// As [`Record::list`], or as Postgres writes a list of texts into comma-separated values: `{m1,"m 2"}`.
    pub fn postgres_list(&self, column: &'static str) -> Result<Option<Vec<String>>, Problem> {
        match self.cell(column) {
            Some(Cell::Text(text)) if text.starts_with('{') => {
                let why = "a list is written like {m1,m2}";
                let list = postgres_list(text).ok_or_else(|| Problem::at(column, why))?;
                Ok(Some(list))
            }
            _ => self.list(column),
        }
    }

    /// Whether any of `columns` holds something that says more than nothing, no, or zero.
    pub fn holds_any(&self, columns: &[&'static str]) -> bool {
        let mut cells = columns.iter().filter_map(|column| self.cell(column));
        cells.any(|cell| cell.says_something() && !cell.is_zero())
    }

    /// Whether any of `columns` holds something that says more than nothing or no.
    pub fn says_any(&self, columns: &[&'static str]) -> bool {
        let mut cells = columns.iter().filter_map(|column| self.cell(column));
        cells.any(Cell::says_something)
    }

    /// Whether `column` holds zero.
    pub fn is_zero(&self, column: &'static str) -> bool {
        self.cell(column).is_some_and(Cell::is_zero)
    }
}

fn zoned(text: &str) -> Option<i64> {
    Some(text.parse::<Timestamp>().ok()?.as_second())
}

fn in_utc(text: &str) -> Option<i64> {
    let moment: civil::DateTime = text.parse().ok()?;
    Some(TimeZone::UTC.to_timestamp(moment).ok()?.as_second())
}

/// Postgres manual, 8.15.6: items in double quotes where they must be, backslashes before what would end them.
fn postgres_list(text: &str) -> Option<Vec<String>> {
    let mut rest = text
        .strip_prefix('{')?
        .strip_suffix('}')?
        .chars()
        .peekable();
    let mut items = Vec::new();
    while rest.peek().is_some() {
        let is_quoted = rest.next_if_eq(&'"').is_some();
        let mut item = String::new();
        loop {
            match rest.next() {
                Some('"') if is_quoted => break,
                Some('\\') => item.push(rest.next()?),
                Some('"' | ',' | '{' | '}') if !is_quoted => return None,
                Some(c) => item.push(c),
                None => return None,
            }
            if !is_quoted && matches!(rest.peek(), None | Some(',')) {
                break;
            }
        }
        if item.is_empty() || (!is_quoted && item.eq_ignore_ascii_case("null")) {
            return None;
        }
        items.push(item);
        match rest.next() {
            None => break,
            Some(',') if rest.peek().is_some() => {}
            Some(_) => return None,
        }
    }
    Some(items)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn with(text: &str) -> Record {
        let mut record = Record::new(&["c"]);
        record.put(0, Cell::Text(text.to_owned()));
        record
    }

    #[rstest]
    #[case("{}", Some(&[][..]))]
    #[case("{m1}", Some(&["m1"][..]))]
    #[case("{m1,m/2*}", Some(&["m1", "m/2*"][..]))]
    #[case(r#"{"a b","c,d","e\"f","g\\h",i}"#, Some(&["a b", "c,d", "e\"f", "g\\h", "i"][..]))]
    #[case("{m1,}", None)]
    #[case("{,m1}", None)]
    #[case("{m1", None)]
    #[case("{{m1}}", None)]
    #[case(r#"{"m1}"#, None)]
    #[case(r#"{"m1"x}"#, None)]
    #[case("{NULL}", None)]
    #[case("{\"\"}", None)]
    fn a_list_of_postgres_is_read_whole_or_not(
        #[case] text: &str,
        #[case] expected: Option<&[&str]>,
    ) {
        let read = with(text).postgres_list("c").ok().flatten();
        let expected = expected.map(|items| items.iter().map(|item| (*item).to_owned()).collect());
        assert_eq!(read, expected);
    }

    #[rstest]
    #[case::zone("2026-11-21T03:00:00Z", true)]
    #[case::offset("2026-11-21T05:00:00+02:00", true)]
    #[case::fraction("2026-11-21T03:00:00.999Z", true)]
    #[case::no_zone("2026-11-21T03:00:00", false)]
    #[case::postgres("2026-11-21 03:00:00.123", false)]
    #[case::postgres_zone("2026-11-21 03:00:00+00", true)]
    #[case::milliseconds("1795230000123", false)]
    fn a_moment_is_the_same_in_every_form(#[case] text: &str, #[case] is_zoned: bool) {
        let moment = Ok(Some(UnixTime::from_secs(1_795_230_000)));
        assert_eq!(with(text).moment("c", Moments::Database), moment);
        let zoned = with(text).moment("c", Moments::Zoned);
        assert_eq!(zoned.is_ok(), is_zoned, "{zoned:?}");
        assert!(!is_zoned || zoned == moment);
    }

    #[rstest]
    #[case("soon")]
    #[case("1969-12-31T23:59:59Z")]
    #[case("-77")]
    #[case("99999999999999999999")]
    #[case("2026-11-21T25:00:00Z")]
    fn what_is_no_moment_is_refused_without_being_shown(#[case] text: &str) {
        for moments in [Moments::Zoned, Moments::Database] {
            let problem = with(text).moment("c", moments).unwrap_err().to_string();
            assert!(
                problem.starts_with("c: ") && !problem.contains(text),
                "{problem}"
            );
        }
    }
}
