//! What we read in a body, and what others do.

pub mod by_hand;
pub mod serde;

use keyward::route::{BodyFault, ModelScanner};

pub const DEPTH: u16 = 128;

/// What a body comes to when it comes in the given pieces.
pub fn judge<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Result<String, BodyFault> {
    let mut scanner = ModelScanner::new(DEPTH);
    for piece in pieces {
        scanner.push(piece)?;
    }
    scanner.finish().map(str::to_owned)
}

/// A reading of a body as a word without spaces at its ends: `-` when the reader refuses the body, `?` when it finds no
/// object with a `model`, the kind of a model that is no text (`null`, `true`, `false`, `number`, `array`, `object`), or the
/// text in quotes, with `\uNNNN` for each unit of UTF-16 that is not plain ASCII, and for `"`, `\` and `|`.
pub fn written(model: &str) -> String {
    let units = model.encode_utf16().map(|unit| match u8::try_from(unit) {
        Ok(byte @ 0x20..0x7f) if !b"\"\\|".contains(&byte) => char::from(byte).to_string(),
        _ => format!("\\u{unit:04x}"),
    });
    format!("\"{}\"", units.collect::<String>())
}
