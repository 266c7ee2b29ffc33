//! What the doors' laws begin from, and how it is kept.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use super::laws::{DOORS, Door, unescape};
use crate::proxy::framing::rows;
use crate::readers::table;
use crate::support::source::package;

pub fn door(name: &str) -> &'static Door {
    let door = DOORS.iter().find(|door| door.name == name);
    door.expect("a door of that name")
}

/// The inputs of a corpus, and of the table of the same room.
pub fn inputs(name: &str) -> Vec<Vec<u8>> {
    let mut inputs = door(name).inputs();
    match name {
        "body" => inputs.extend(table::rows().into_iter().map(|row| row.body)),
        "head" => inputs.extend(rows::all().iter().map(|row| row.bytes("key"))),
        _ => {}
    }
    // What is long is no better to begin from.
    inputs.retain(|input| input.len() < 2_000);
    inputs
}

/// Where `tests/fuzz.sh` looks for what to begin from, and leaves what it found.
fn searched(what: &str, name: &str) -> PathBuf {
    package().join("target/fuzz").join(what).join(name)
}

/// A line that is read as these bytes.
fn line(input: &[u8]) -> String {
    let mut line = String::new();
    let mut is_digits = false;
    let end = input.len().saturating_sub(1);
    for (at, byte) in input.iter().enumerate() {
        let at_the_edge = at == 0 || at == end;
        let is_plain =
            byte.is_ascii_graphic() && !b"<>".contains(byte) && !(at == 0 && *byte == b'#')
                || *byte == b' ' && !at_the_edge;
        if is_plain == is_digits {
            line.push(if is_plain { '>' } else { '<' });
            is_digits = !is_plain;
        }
        if is_plain {
            line.push(char::from(*byte));
        } else {
            write!(line, "{byte:02x}").expect("room for it");
        }
    }
    if is_digits {
        line.push('>');
    }
    line
}

/// For `tests/fuzz.sh`.
#[test]
#[ignore = "writes below target/fuzz"]
fn seeds_are_written_out() {
    for door in &DOORS {
        let directory = searched("seeds", door.name);
        fs::create_dir_all(&directory).unwrap();
        for (number, input) in inputs(door.name).iter().enumerate() {
            fs::write(directory.join(number.to_string()), input).unwrap();
        }
    }
}

/// For `tests/fuzz.sh`.
#[test]
#[ignore = "adds what was found to the corpora"]
fn what_was_found_is_kept() {
    for door in &DOORS {
        let Ok(found) = fs::read_dir(searched("found", door.name)) else {
            continue;
        };
        let known = inputs(door.name);
        let mut found: Vec<Vec<u8>> = found
            .map(|file| fs::read(file.unwrap().path()).unwrap())
            .filter(|input| !known.contains(input))
            .collect();
        found.sort_by_key(|input| (input.len(), input.clone()));
        let name = format!("tests/it/fuzz/corpus/{}.txt", door.name);
        let mut text = fs::read_to_string(package().join(&name)).unwrap();
        for input in found {
            text.push_str(&line(&input));
            text.push('\n');
        }
        fs::write(package().join(&name), text).unwrap();
    }
}

#[test]
fn a_line_is_read_as_what_was_written() {
    let inputs = DOORS.iter().flat_map(|door| inputs(door.name));
    for input in inputs.chain([(0..=255).collect(), b"#<> ".to_vec()]) {
        assert_eq!(unescape(&line(&input)), input, "{}", line(&input));
    }
}
