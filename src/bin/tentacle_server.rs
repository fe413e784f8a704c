//! The buffer of an isolated network.

use std::process::ExitCode;

fn main() -> ExitCode {
    tentacle_sync::cli::server::main()
}
