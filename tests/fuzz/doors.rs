//! One door's law for every input that libFuzzer thinks of. `KEYWARD_FUZZ_DOOR` names the door.
#![no_main]

use std::sync::LazyLock;

use laws::{DOORS, Door};
use libfuzzer_sys::fuzz_target;

#[path = "../it/fuzz/laws/mod.rs"]
mod laws;
mod readers;

static DOOR: LazyLock<&Door> = LazyLock::new(|| {
    let name = std::env::var("KEYWARD_FUZZ_DOOR").expect("KEYWARD_FUZZ_DOOR names a door");
    let door = DOORS.iter().find(|door| door.name == name);
    door.expect("there is a door of that name")
});

fuzz_target!(|input: &[u8]| (DOOR.law)(input));
