//! Everything that crosses a room, in one binary.
#![expect(
    clippy::string_slice,
    reason = "a test may panic: that is how it fails"
)]

mod house;
mod support;
