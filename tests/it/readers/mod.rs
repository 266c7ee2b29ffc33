//! The model in a body as others read it: no reader that takes a body reads another model than the one we judged.
//!
//! `bodies.txt` holds bodies with what we and seven readings of three parsers make of each. serde's are checked here;
//! those of Python and Node are checked against the real programs by `tests/readers.sh`, which runs the ignored tests of
//! [`programs`]. [`laws`] searches for further bodies.

mod by_hand;
mod laws;
mod listener;
mod programs;
mod serde;
mod table;

use keyward::route::{BodyFault, ModelScanner};

const DEPTH: u16 = 128;

/// What a body comes to when it comes in the given pieces.
fn judge<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Result<String, BodyFault> {
    let mut scanner = ModelScanner::new(DEPTH);
    for piece in pieces {
        scanner.push(piece)?;
    }
    scanner.finish().map(str::to_owned)
}

/// A reading of a body as a word without spaces at its ends: `-` when the reader refuses the body, `?` when it finds no
/// object with a `model`, the kind of a model that is no text (`null`, `true`, `false`, `number`, `array`, `object`), or the
/// text in quotes, with `\uNNNN` for each unit of UTF-16 that is not plain ASCII, and for `"`, `\` and `|`.
fn written(model: &str) -> String {
    let units = model.encode_utf16().map(|unit| match u8::try_from(unit) {
        Ok(byte @ 0x20..0x7f) if !b"\"\\|".contains(&byte) => char::from(byte).to_string(),
        _ => format!("\\u{unit:04x}"),
    });
    format!("\"{}\"", units.collect::<String>())
}
