//! What the doors' laws begin from.

use super::laws::{DOORS, Door};
use crate::proxy::framing::rows;
use crate::readers::table;

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
