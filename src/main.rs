//! The `sealift` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(sealift::cli::root::run())
}
