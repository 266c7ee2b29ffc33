//! As in tests/it.

#[path = "../it/readers/reading/mod.rs"]
pub mod reading;
