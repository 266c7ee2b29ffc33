//! The `keyward` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(keyward::cli::run(std::env::args_os()))
}
