//! `import`: a pandora_server.conf as TOML.

use std::path::Path;

use log::Level;

use super::{Outcome, PROGRAM, SUCCESS};
use crate::config::{self, LoadOptions};
use crate::obs::{Output, complain};

pub(super) fn run(file: &Path) -> Outcome {
    let settings = config::load(file, &LoadOptions::default())?;
    for warning in &settings.warnings {
        // They must not end up in the TOML.
        complain(Level::Warn, format_args!("{PROGRAM}: {warning}"));
    }
    let mut out = Output::default();
    out.file(&format!("{}\n", config::to_toml(&settings).trim_end_matches('\n')));
    out.finish()?;
    Ok(SUCCESS)
}
