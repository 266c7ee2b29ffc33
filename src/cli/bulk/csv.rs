//! Comma-separated values as RFC 4180 has them, and no others: what could be read in two ways is not read.

use std::borrow::Cow;
use std::io::{self, BufRead, Read as _};

/// The longest record: a quote that is never closed must not take in the whole file.
pub const MAX_RECORD_BYTES: u64 = 1024 * 1024;

/// Why a file cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It could not be read.
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    /// From this line on it is not what it should be.
    #[error("line {line}: {why}")]
    Form {
        /// The line, counted from 1.
        line: u64,
        /// What is wrong, without any value.
        why: Cow<'static, str>,
    },
}

impl Unreadable {
    /// From `line` on it is not what it should be.
    pub fn form(line: u64, why: impl Into<Cow<'static, str>>) -> Self {
        let why = why.into();
        Self::Form { line, why }
    }
}

/// Lines of a file, with their numbers.
pub struct Lines<R> {
    input: R,
    line: u64,
}

impl<R: BufRead> Lines<R> {
    /// The lines of `input`, from its first on.
    pub const fn new(input: R) -> Self {
        Self { input, line: 0 }
    }

    /// The first byte that is not white space, without taking it; a mark of UTF-8 at the very beginning is taken.
    pub fn peek(&mut self) -> Result<Option<u8>, Unreadable> {
        if self.line == 0 && self.input.fill_buf()?.starts_with("\u{feff}".as_bytes()) {
            self.input.consume(3);
        }
        loop {
            match self.input.fill_buf()?.first() {
                Some(byte) if byte.is_ascii_whitespace() => {
                    self.line += u64::from(*byte == b'\n');
                    self.input.consume(1);
                }
                first => return Ok(first.copied()),
            }
        }
    }

    /// Reads one more line behind `text`; `false` at the end.
    fn append(&mut self, text: &mut Vec<u8>) -> Result<bool, Unreadable> {
        let room = MAX_RECORD_BYTES.saturating_sub(u64::try_from(text.len()).unwrap_or(u64::MAX));
        let read = self.input.by_ref().take(room).read_until(b'\n', text)?;
        self.line += 1;
        if u64::try_from(read).is_ok_and(|read| read == room) {
            return Err(Unreadable::form(
                self.line,
                "this is longer than a megabyte",
            ));
        }
        Ok(read > 0)
    }

    /// The next line that is not empty, and its number.
    pub fn line(&mut self) -> Result<Option<(u64, String)>, Unreadable> {
        self.record(|_| true)
    }

    /// The next record of comma-separated values, and the number of its first line. A line end inside quotes is a
    /// part of it.
    pub fn values(&mut self) -> Result<Option<(u64, Vec<String>)>, Unreadable> {
        let mut is_open = false;
        let is_whole = |line: &[u8]| {
            for byte in line {
                is_open ^= *byte == b'"';
            }
            !is_open
        };
        let Some((line, record)) = self.record(is_whole)? else {
            return Ok(None);
        };
        let why = "a quote stands where none belongs";
        let fields = split(&record).ok_or_else(|| Unreadable::form(line, why))?;
        Ok(Some((line, fields)))
    }

    fn record(
        &mut self,
        mut is_whole: impl FnMut(&[u8]) -> bool,
    ) -> Result<Option<(u64, String)>, Unreadable> {
        let mut text = Vec::new();
        let mut first = self.line + 1;
        let mut read = 0;
        while self.append(&mut text)? {
            let line = text.get(read..).unwrap_or_default();
            if text.trim_ascii().is_empty() {
                text.clear();
                first = self.line + 1;
            } else if is_whole(line) {
                let why = "this is no UTF-8";
                let text = String::from_utf8(text);
                let mut text = text.map_err(|_| Unreadable::form(first, why))?;
                let end = text.trim_end_matches('\n').trim_end_matches('\r').len();
                text.truncate(end);
                return Ok(Some((first, text)));
            } else {
                read = text.len();
            }
        }
        if text.is_empty() {
            return Ok(None);
        }
        Err(Unreadable::form(first, "a quote is not closed"))
    }
}

/// The fields of a record; nothing when its quotes are not as they should be.
fn split(record: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = record;
    loop {
        let (field, after) = if let Some(quoted) = rest.strip_prefix('"') {
            unquote(quoted)?
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            let (field, after) = rest.split_at(end);
            (field.to_owned(), after)
        };
        if field.contains('"') && !rest.starts_with('"') {
            return None;
        }
        fields.push(field);
        if after.is_empty() {
            return Some(fields);
        }
        rest = after.strip_prefix(',')?;
    }
}

/// What stands before the closing quote, each doubled quote being one, and what follows it.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = quoted;
    loop {
        let (before, after) = rest.split_once('"')?;
        field.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Some((field, after)),
        }
    }
}

/// Adds `field` to a record that is being written, quoted where it must be.
pub fn push(record: &mut String, field: &str) {
    if !field.contains(['"', ',', '\n', '\r']) && field.trim() == field {
        record.push_str(field);
        return;
    }
    record.push('"');
    record.push_str(&field.replace('"', "\"\""));
    record.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn records(text: &str) -> Result<Vec<(u64, Vec<String>)>, Unreadable> {
        let mut lines = Lines::new(text.as_bytes());
        std::iter::from_fn(|| lines.values().transpose()).collect()
    }

    #[rstest]
    #[case::plain("a,b\nc,d\n", &["1 a|b", "2 c|d"])]
    #[case::no_last_line_end("a,b", &["1 a|b"])]
    #[case::of_windows("a,b\r\nc,d\r\n", &["1 a|b", "2 c|d"])]
    #[case::empty_fields(",\n\"\",\n", &["1 |", "2 |"])]
    #[case::empty_lines("a,b\n\n \nc,d", &["1 a|b", "4 c|d"])]
    #[case::quotes("\"a,\"\"b\"\"\",c", &["1 a,\"b\"|c"])]
    #[case::lines_in_quotes("\"a\n\nb\",c\nd,e", &["1 a\n\nb|c", "4 d|e"])]
    fn a_record_is_read(#[case] text: &str, #[case] expected: &[&str]) {
        let read = records(text).unwrap();
        let read = read
            .iter()
            .map(|(line, fields)| format!("{line} {}", fields.join("|")));
        assert_eq!(read.collect::<Vec<_>>(), expected);
    }

    #[rstest]
    #[case::never_closed("a,b\n\"c,d\ne,f\n", "line 2: a quote is not closed")]
    #[case::behind_a_quote("a\n\"b\"c\n", "line 2: a quote stands where none belongs")]
    #[case::inside("a\"b\"\n", "line 1: a quote stands where none belongs")]
    fn what_could_be_read_in_two_ways_is_refused(#[case] text: &str, #[case] error: &str) {
        assert_eq!(records(text).unwrap_err().to_string(), error);
    }

    #[test]
    fn a_record_without_an_end_does_not_fill_memory() {
        let input = io::repeat(b'a');
        let mut lines = Lines::new(io::BufReader::new(input));
        let error = lines.values().unwrap_err().to_string();
        assert_eq!(error, "line 1: this is longer than a megabyte");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(fields in prop::collection::vec("[a\", \n\r\tü]{0,6}", 1..5)) {
            let mut record = String::new();
            for (place, field) in fields.iter().enumerate() {
                if place > 0 {
                    record.push(',');
                }
                push(&mut record, field);
            }
            record.push_str(",end\nnext,line\n");
            let read = records(&record).unwrap();
            prop_assert_eq!(read.len(), 2);
            prop_assert_eq!(&read[0].1[..fields.len()], &fields[..]);
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = records(&text);
        }
    }
}
