//! The cellar: metric names and logging. Knows no other room.

pub mod metrics;
