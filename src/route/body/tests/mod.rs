//! What a body names: rows and laws. Those of JSON bodies stand in `tests/it/readers`, beside other readers of them.

mod forms;
mod json;

use super::*;
