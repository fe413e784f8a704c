//! The buffer of an isolated network.

use std::process::ExitCode;

fn main() -> ExitCode {
    tentacle_sync::role::server::main()
}
