//! The `babelake` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    babelake::cli::run()
}
