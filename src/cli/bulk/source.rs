//! A file of keys, read a batch at a time: what is in memory does not grow with it.

use std::fmt;
use std::io::BufRead;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;

use super::csv::{Lines, Unreadable};
use super::notes::Notes;
use super::record::{Cell, Problem, Record};
use super::{Defaults, Row, Shape};

/// How many rows are read, and stored, together: each batch writes every page of an index again that it changes, and
/// holds up whoever else changes keys.
pub const BATCH_ROWS: usize = 8000;

/// How alike a column must be to one that is known to be taken for a misspelt one.
const ALIKE: f64 = 0.8;

/// Rows that stand together in a file.
#[derive(Debug, Default)]
pub struct Batch {
    /// Those that are keys, each with its line.
    pub rows: Vec<(u64, Row)>,
    /// Those that are not, each with its line and why.
    pub bad: Vec<(u64, Problem)>,
    /// Of those that are keys, what is not taken over, each with its line.
    pub lost: Vec<(u64, Vec<&'static str>)>,
    /// How many keys had been deleted where they come from.
    pub left_out: u64,
    /// Whether there may be more.
    pub more: bool,
}

/// A file of keys.
pub struct Source {
    lines: Lines<Box<dyn BufRead + Send>>,
    shape: Shape,
    defaults: Defaults,
    header: Option<Header>,
    notes: Notes,
}

/// A record, or what is wrong with this one alone.
type Read = Result<Record, Problem>;

/// How the cells of a file are found.
enum Header {
    /// The place among the known columns of each field, where it has one.
    Values(Vec<Option<usize>>),
    /// By the names of members.
    Json,
}

impl Source {
    /// The rows of `input`. Nothing is read yet.
    pub fn new(input: Box<dyn BufRead + Send>, shape: Shape, defaults: Defaults) -> Self {
        Self {
            lines: Lines::new(input),
            shape,
            defaults,
            header: None,
            notes: Notes::default(),
        }
    }

    /// What was not taken over so far.
    pub const fn notes(&self) -> &Notes {
        &self.notes
    }

    /// The next rows. Blocks while the input does.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or not be understood from some line on.
    pub fn batch(&mut self) -> Result<Batch, Unreadable> {
        let mut batch = Batch::default();
        while batch.rows.len() + batch.bad.len() < BATCH_ROWS {
            let Some((line, record)) = self.record()? else {
                return Ok(batch);
            };
            let row = record.and_then(|record| self.row(&record));
            let lost = self.notes.end_row(matches!(row, Ok(Some(_))));
            match row {
                Ok(Some(row)) => {
                    batch.rows.push((line, row));
                    if !lost.is_empty() {
                        batch.lost.push((line, lost));
                    }
                }
                Ok(None) => batch.left_out += 1,
                Err(problem) => batch.bad.push((line, problem)),
            }
        }
        batch.more = true;
        Ok(batch)
    }

    fn row(&mut self, record: &Record) -> Result<Option<Row>, Problem> {
        let row = self.shape.read(record, &self.defaults, &mut self.notes)?;
        row.map(super::checked).transpose()
    }

    /// The next record and its line.
    fn record(&mut self) -> Result<Option<(u64, Read)>, Unreadable> {
        let header = match self.header.take() {
            Some(header) => header,
            None => match self.begin()? {
                Some(header) => header,
                None => return Ok(None),
            },
        };
        let record = match &header {
            Header::Values(places) => {
                let values = self.lines.values()?;
                values.map(|(line, fields)| (line, self.of_values(places, fields)))
            }
            Header::Json => {
                let line = self.lines.line()?;
                line.map(|(line, text)| (line, self.of_json(&text)))
            }
        };
        self.header = Some(header);
        Ok(record)
    }

    /// Finds out what the file is; nothing when it is empty.
    fn begin(&mut self) -> Result<Option<Header>, Unreadable> {
        let first = self.lines.peek()?;
        match (self.shape, first) {
            (_, None) => Ok(None),
            (_, Some(b'[')) => {
                let why = "one JSON object a line belongs here, not a list of them";
                Err(Unreadable::form(1, why))
            }
            (Shape::Jsonl, _) | (Shape::Litellm | Shape::Unkey, Some(b'{')) => {
                Ok(Some(Header::Json))
            }
            _ => self.header().map(Some),
        }
    }

    fn header(&mut self) -> Result<Header, Unreadable> {
        let Some((line, names)) = self.lines.values()? else {
            return Err(Unreadable::form(1, "there is no header"));
        };
        let digest = self.shape.digest_column();
        if !names.iter().any(|name| name == digest) {
            // The line may be the first key of a file without a header: nothing of it is shown.
            let why = format!("this is no header: it names no column `{digest}`");
            return Err(Unreadable::form(line, why));
        }
        let mut places = Vec::with_capacity(names.len());
        for (number, name) in (1..).zip(&names) {
            let place = self.place(name);
            if place.is_none() && self.shape.refuses_others() {
                let why = format!("column {number} is not known{}", self.suggestion(name));
                return Err(Unreadable::form(line, why));
            }
            if place.is_some() && places.contains(&place) {
                let why = format!("column {number} was there before");
                return Err(Unreadable::form(line, why));
            }
            if place.is_none() {
                self.notes.other(name);
            }
            places.push(place);
        }
        Ok(Header::Values(places))
    }

    fn of_values(&self, places: &[Option<usize>], fields: Vec<String>) -> Read {
        if fields.len() != places.len() {
            let (fields, places) = (fields.len(), places.len());
            let why = format!("{fields} fields where the header has {places}");
            return Err(Problem::row(why));
        }
        let mut record = Record::new(self.shape.columns());
        for (place, field) in places.iter().zip(fields) {
            if let Some(place) = place {
                record.put(*place, Cell::Text(field));
            }
        }
        Ok(record)
    }

    fn of_json(&mut self, line: &str) -> Read {
        let members: Members =
            serde_json::from_str(line).map_err(|_| Problem::row("this is no JSON object"))?;
        let mut record = Record::new(self.shape.columns());
        for (name, value) in members.0 {
            let Some(place) = self.place(&name) else {
                if self.shape.refuses_others() {
                    let suggestion = self.suggestion(&name);
                    return Err(Problem::row(format!("a member is not known{suggestion}")));
                }
                self.notes.other(&name);
                continue;
            };
            if !record.put(place, Cell::Json(value)) {
                return Err(Problem::row("a member stands there twice"));
            }
        }
        Ok(record)
    }

    fn place(&self, name: &str) -> Option<usize> {
        let mut columns = self.shape.columns().iter();
        columns.position(|column| *column == name)
    }

    /// The name that may have been meant. The one that was written is not shown: it may be anything.
    fn suggestion(&self, name: &str) -> String {
        let columns = self.shape.columns().iter();
        let alike = columns.map(|column| (strsim::jaro_winkler(column, name), column));
        let best = alike.max_by(|a, b| a.0.total_cmp(&b.0));
        match best {
            Some((alike, column)) if alike >= ALIKE => format!("; did you mean `{column}`?"),
            _ => format!("; known are {}", self.shape.columns().join(", ")),
        }
    }
}

/// The members of a JSON object, in their order, none lost.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}
