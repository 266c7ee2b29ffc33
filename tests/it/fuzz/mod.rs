//! Bytes at the doors of the pure rooms: path, host, credential and form. Each begins from a corpus of inputs that once
//! mattered, changes them, and holds what comes out against readers of its own.
//!
//! `KEYWARD_TEST_CASES=1000000 cargo test --test it fuzz::` searches longer; so do `readers::laws` for JSON bodies and
//! `proxy::framing::laws` for connections. An input that fails is shown whole: it belongs into the corpus.

mod credential;
mod form;
mod host;
mod path;

use proptest::prelude::*;
use proptest::sample::{Index, select};

/// The inputs of a corpus: one a line, with bytes that are not plain ASCII, and `<`, in hexadecimal digits within `<` and
/// `>`.
fn corpus(text: &str) -> Vec<Vec<u8>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(unescape).collect()
}

fn unescape(text: &str) -> Vec<u8> {
    let mut parts = text.split('<');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, plain) = part.split_once('>').expect("a closing `>`");
        for digits in digits.as_bytes().chunks(2) {
            let digits = str::from_utf8(digits).expect("ASCII");
            bytes.push(u8::from_str_radix(digits, 16).expect("two hexadecimal digits"));
        }
        bytes.extend(plain.bytes());
    }
    bytes
}

/// One change to an input.
#[derive(Debug, Clone)]
enum Change {
    Replace(Index, u8),
    Insert(Index, u8),
    Delete(Index),
    /// A piece of the input, once more and somewhere else.
    Again(Index, Index, Index),
    /// The end of another input.
    Splice(Index, Vec<u8>, Index),
}

/// Inputs of a corpus, changed up to three times with these bytes and any.
fn inputs(corpus: Vec<Vec<u8>>, likely: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let byte = move || prop_oneof![4 => select(likely), 1 => any::<u8>()];
    let index = any::<Index>;
    let change = prop_oneof![
        (index(), byte()).prop_map(|(at, byte)| Change::Replace(at, byte)),
        (index(), byte()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        index().prop_map(Change::Delete),
        (index(), index(), index()).prop_map(|(from, to, at)| Change::Again(from, to, at)),
        (index(), select(corpus.clone()), index())
            .prop_map(|(at, other, from)| Change::Splice(at, other, from)),
    ];
    (select(corpus), prop::collection::vec(change, 0..4)).prop_map(|(mut input, changes)| {
        for change in changes {
            apply(&mut input, change);
        }
        input
    })
}

fn apply(input: &mut Vec<u8>, change: Change) {
    let length = input.len();
    match change {
        Change::Insert(at, byte) => input.insert(at.index(length + 1), byte),
        Change::Splice(at, other, from) => {
            input.truncate(at.index(length + 1));
            input.extend_from_slice(&other[from.index(other.len() + 1)..]);
        }
        _ if length == 0 => {}
        Change::Replace(at, byte) => input[at.index(length)] = byte,
        Change::Delete(at) => drop(input.remove(at.index(length))),
        Change::Again(from, to, at) => {
            let (from, to) = (from.index(length), to.index(length));
            let piece = input[from.min(to)..from.max(to)].to_vec();
            let at = at.index(length);
            input.splice(at..at, piece);
        }
    }
}
