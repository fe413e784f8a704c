//! Sends files to a Tentacle server, or gets them.

use std::process::ExitCode;

fn main() -> ExitCode {
    tentacle_sync::cli::client::main()
}
