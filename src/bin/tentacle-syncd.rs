//! The sync server: collects from isolated networks.

use std::process::ExitCode;

fn main() -> ExitCode {
    tentacle_sync::cli::syncd::main()
}
