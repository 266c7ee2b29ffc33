//! What a body names: rows for SECURITY S7, S8 and S11 to S13, and laws.

mod forms;
mod laws;
mod reference;
mod rows;

use super::*;

const DEPTH: u16 = 128;

/// What a body comes to when it comes in the given pieces.
fn judge<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Result<String, BodyFault> {
    let mut scanner = ModelScanner::new(DEPTH);
    for piece in pieces {
        scanner.push(piece)?;
    }
    scanner.finish().map(str::to_owned)
}
