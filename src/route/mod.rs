//! Where a request leads, and which model it names.

mod config;

pub use config::{ErrorForm, ModelConfig, RouteConfig};
