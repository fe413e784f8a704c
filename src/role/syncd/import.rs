//! `import`: a pandora_server.conf as TOML.

use std::io::Write;
use std::path::Path;

use super::{Outcome, SUCCESS};
use crate::config::{self, LoadOptions};

#[expect(clippy::print_stderr, reason = "warnings must not end up in the TOML")]
pub(super) fn run(file: &Path) -> Outcome {
    let settings = config::load(file, &LoadOptions::default())?;
    for warning in &settings.warnings {
        eprintln!("tentacle-syncd: {warning}");
    }
    std::io::stdout().write_all(config::to_toml(&settings).as_bytes())?;
    Ok(SUCCESS)
}
