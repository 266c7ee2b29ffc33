//! The cellar: metric names and logging. Knows no other room.

pub mod logging;
pub mod metrics;

use std::error::Error;
use std::fmt;

pub use logging::{LogConfig, LogFormat};

/// An error and all its causes, for the one line that reports it.
pub fn chain(error: &(dyn Error + 'static)) -> impl fmt::Display {
    causes(error)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// An error and all its causes, outermost first.
pub fn causes<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}
