//! The settings: what may be set, read and checked once, at the start.

pub mod environment;
