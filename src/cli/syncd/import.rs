//! `import`: TOML made of a pandora_server.conf, or of a list of sites.

use std::fs::Permissions;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use log::Level;

use super::{Outcome, PROGRAM, SUCCESS};
use crate::config::{self, ConfigError, LoadOptions, SiteList};
use crate::obs::{Output, complain};
use crate::proto::{Count, quoted};

/// Where the TOML goes.
pub(super) enum Destination<'a> {
    StandardOutput,
    File {
        path: &'a Path,
        /// Whether one that is there is replaced.
        replace: bool,
    },
}

/// The file has not been written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("{}: already exists, not replaced: name another file, or add --force", quoted(.0))]
    IsThere(PathBuf),
    #[error("{}: there is no directory {}: make it first, as with install -d -m 755", quoted(path), quoted(directory))]
    NoDirectory { path: PathBuf, directory: PathBuf },
    #[error(
        "{}: this user may not write into the directory {}: name another file, or run it as one who may",
        quoted(path),
        quoted(directory)
    )]
    NotAllowed { path: PathBuf, directory: PathBuf },
    #[error("{}: cannot write it: {error}", quoted(path))]
    Io { path: PathBuf, error: io::Error },
}

impl WriteError {
    /// Whether it stays as it is until somebody names another file, or sets something right.
    pub(super) fn is_lasting(&self) -> bool {
        match self {
            Self::IsThere(_) | Self::NoDirectory { .. } | Self::NotAllowed { .. } => true,
            // Such as a disk that is full.
            Self::Io { .. } => false,
        }
    }
}

pub(super) fn run(file: &Path, destination: &Destination<'_>) -> Outcome {
    let SiteList { toml, sites, groups, warnings } =
        if is_list(file) { config::read_site_list(file)? } else { of_pandora(file)? };
    for warning in &warnings {
        // They must not end up in the TOML.
        complain(Level::Warn, format_args!("{PROGRAM}: {warning}"));
    }
    let mut out = Output::default();
    match *destination {
        Destination::StandardOutput => out.file(&toml),
        Destination::File { path, replace } => {
            write(path, &toml, replace)?;
            out.line(format_args!("{}: {}", quoted(path), Count(sites, "site")));
            if !groups.is_empty() {
                out.line(format_args!("its sites need these tables, here or in another file: {}", groups.join(", ")));
            }
        }
    }
    out.finish()?;
    Ok(SUCCESS)
}

fn is_list(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
}

fn of_pandora(file: &Path) -> Result<SiteList, ConfigError> {
    let settings = config::load(file, &LoadOptions::default())?;
    let toml = format!("{}\n", config::to_toml(&settings).trim_end_matches('\n'));
    Ok(SiteList { toml, sites: settings.sites.len(), groups: Vec::new(), warnings: settings.warnings })
}

/// Writes the file whole, or not at all. Under its name so far no configuration includes it.
fn write(path: &Path, text: &str, replace: bool) -> Result<(), WriteError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |error: io::Error| match error.kind() {
        ErrorKind::AlreadyExists => WriteError::IsThere(path.to_owned()),
        ErrorKind::NotFound => WriteError::NoDirectory { path: path.to_owned(), directory: directory.to_owned() },
        ErrorKind::PermissionDenied => {
            WriteError::NotAllowed { path: path.to_owned(), directory: directory.to_owned() }
        }
        _ => WriteError::Io { path: path.to_owned(), error },
    };
    // As of any new file, the umask says who may read it: no secret is written.
    let everyone = Permissions::from_mode(0o666);
    let draft = tempfile::Builder::new().prefix(".").suffix(".new").permissions(everyone).tempfile_in(directory);
    let mut draft = draft.map_err(failed)?;
    draft.write_all(text.as_bytes()).and_then(|()| draft.as_file().sync_all()).map_err(failed)?;
    let named = if replace { draft.persist(path) } else { draft.persist_noclobber(path) };
    named.map_err(|error| failed(error.error))?;
    Ok(())
}
