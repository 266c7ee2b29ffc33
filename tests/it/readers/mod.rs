//! The model in a body as others read it: no reader that takes a body reads another model than the one we judged.
//!
//! `bodies.txt` holds bodies with what we and seven readings of three parsers make of each. serde's are checked here;
//! those of Python and Node are checked against the real programs by `tests/readers.sh`, which runs the ignored tests of
//! [`programs`]. [`laws`] searches for further bodies.

mod laws;
mod listener;
mod programs;
pub mod reading;
pub mod table;
