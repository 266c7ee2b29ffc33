//! The table of bodies.

use super::reading::by_hand::by_hand;
use super::reading::{judge, serde, written};
use crate::support::source::package;

/// One row of `bodies.txt`.
pub struct Row {
    /// What we make of it: the model as [`written`] writes it, or the fault's name.
    judged: String,
    /// What each of [`READERS`] reads.
    pub readings: Vec<String>,
    pub body: Vec<u8>,
    line: String,
}

/// The columns, in order: three readings of serde, two of Python, two of Node.
pub const READERS: usize = 7;

/// Every row.
pub fn rows() -> Vec<Row> {
    let table = package().join("tests/it/readers/bodies.txt");
    let table = std::fs::read_to_string(table).expect("the table is there");
    let rows = table
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    rows.map(read).collect()
}

fn read(line: &str) -> Row {
    let mut cells = line.splitn(READERS + 2, " | ");
    let mut cell = || cells.next().unwrap_or_else(|| panic!("not a row: {line}"));
    let judged = cell().trim().to_owned();
    // `=` is the model that was judged.
    let readings = (0..READERS).map(|_| match cell().trim() {
        "=" => judged.clone(),
        reading => reading.to_owned(),
    });
    Row {
        readings: readings.collect(),
        body: unescape(cell()),
        line: line.to_owned(),
        judged,
    }
}

/// Reads a body as the table writes it: bytes that are not plain ASCII, and `<`, in hexadecimal digits within `<` and `>`.
fn unescape(text: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for (number, part) in text.split('<').enumerate() {
        let mut plain = part;
        if number > 0 {
            let (digits, after) = part.split_once('>').expect("a closing `>`");
            let digits = digits.as_bytes().chunks(2).map(|digits| {
                let digits = str::from_utf8(digits).expect("ASCII");
                u8::from_str_radix(digits, 16).expect("two hexadecimal digits")
            });
            body.extend(digits);
            plain = after;
        }
        body.extend(plain.bytes());
    }
    body
}

impl Row {
    /// Whether the body names a model to us.
    pub fn is_named(&self) -> bool {
        self.judged.starts_with('"')
    }
}

#[test]
fn every_body_comes_to_what_the_table_says() {
    let mut wrong = Vec::new();
    for row in rows() {
        let whole = judge([&*row.body]);
        assert_eq!(
            judge(row.body.chunks(1)),
            whole,
            "byte by byte: {}",
            row.line
        );
        assert_eq!(
            by_hand(&row.body),
            whole.clone().ok(),
            "by hand: {}",
            row.line
        );
        let judged = whole.map_or_else(|fault| format!("{fault:?}"), |model| written(&model));
        if judged != row.judged {
            wrong.push(format!("{judged}, not {}", row.line));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn serde_reads_what_the_table_says() {
    let mut wrong = Vec::new();
    for row in rows() {
        let readings = serde::readings(&row.body);
        if readings != row.readings[..3] {
            wrong.push(format!("{}, not {}", readings.join(" | "), row.line));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The law that the table is there for: stored readings, of all seven.
#[test]
fn whoever_takes_a_body_that_we_let_through_reads_the_model_that_we_judged() {
    for row in rows().iter().filter(|row| row.is_named()) {
        for reading in &row.readings {
            assert!(*reading == row.judged || reading == "-", "{}", row.line);
        }
    }
}

#[test]
fn there_are_rows_of_every_kind() {
    let rows = rows();
    let (named, refused): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.is_named());
    assert!(named.len() >= 85, "{} that name a model", named.len());
    assert!(refused.len() >= 250, "{} that are refused", refused.len());
    // What is refused for a reason: some reader would take it, and another would read something else.
    let differ = refused.iter().filter(|row| {
        let mut taken = row
            .readings
            .iter()
            .filter(|reading| reading.starts_with('"'));
        taken
            .next()
            .is_some_and(|one| taken.any(|other| other != one))
    });
    assert!(differ.count() >= 8);
    let lenient = refused
        .iter()
        .filter(|row| row.readings.iter().any(|reading| reading.starts_with('"')));
    assert!(lenient.count() >= 60);
    let mut bodies: Vec<_> = rows.iter().map(|row| &row.body).collect();
    bodies.sort_unstable();
    bodies.dedup();
    assert_eq!(bodies.len(), rows.len(), "a body stands there twice");
}
