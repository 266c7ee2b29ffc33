//! Bytes at the doors of the pure rooms: path, host, credential, form, body and head. Each begins from a corpus of inputs
//! that once mattered, changes them, and holds what comes out against readers of its own ([`laws`]).
//!
//! `KEYWARD_TEST_CASES=1000000 cargo test --test it fuzz::` searches longer; so do `readers::laws` for JSON bodies and
//! `proxy::framing::laws` for connections. An input that fails is shown whole: it belongs into the corpus.

mod corpus;
pub mod laws;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;
use rstest::rstest;

use crate::support::cases;

#[rstest]
fn what_the_corpora_hold_is_judged_well(
    #[values("body", "credential", "form", "head", "host", "path")] name: &str,
) {
    let inputs = corpus::inputs(name);
    assert!(inputs.len() >= 20, "{name}: {} inputs", inputs.len());
    for input in inputs {
        (corpus::door(name).law)(&input);
    }
}

#[rstest]
fn what_is_made_of_the_corpora_is_judged_well(
    #[values("body", "credential", "form", "head", "host", "path")] name: &str,
) {
    let door = corpus::door(name);
    let made = inputs(corpus::inputs(name), door.likely);
    let searched = TestRunner::new(cases(2_000)).run(&made, |input| {
        (door.law)(&input);
        Ok(())
    });
    searched.unwrap();
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
