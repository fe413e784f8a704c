//! From a path to [`Settings`].

use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::cut_off::warning_of_end;
use super::error::{ConfigError, Diagnostics};
use super::pandora_conf::DataServerConf;
use super::settings::{Settings, incoming_dirs};
use super::source::{Env, Source, io_message, is_world_readable};
use super::{defaults, pandora_conf, toml_conf};
use crate::file::{self, ReadError};
use crate::in_time::in_time;
use crate::text::why_unreadable;

/// Where a configuration is looked for when none is named, in this order.
pub const DEFAULT_PATHS: [&str; 2] = ["/etc/tentacle-sync/tentacle-syncd.toml", "/etc/pandora/pandora_server.conf"];

/// A configuration is text written by people.
pub(super) const LARGEST_FILE: usize = 16 * 1024 * 1024;

/// What of the configuration stands on the command line; it wins over the file.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// `--state-dir`.
    pub state_dir: Option<PathBuf>,
    /// `--incoming-dir`: where every site's files land, whatever the file has.
    pub incoming_dir: Option<PathBuf>,
    /// What the file may refer to.
    pub environment: Env,
}

/// The first of [`DEFAULT_PATHS`] that exists.
pub fn default_path() -> Option<&'static Path> {
    DEFAULT_PATHS.into_iter().map(Path::new).find(|path| path.exists())
}

/// Reads the configuration at `path`, our TOML or a `pandora_server.conf`.
///
/// Of other files than the configuration only those with passwords and passphrases are read: certificates and
/// directories need not exist.
///
/// # Errors
/// All that is wrong with the file, with lines.
pub fn load(path: &Path, options: &LoadOptions) -> Result<Settings, ConfigError> {
    let (bytes, world_readable) =
        read_file(path, "--config").map_err(|reason| ConfigError::Unreadable { path: path.to_owned(), reason })?;
    let source = Source::new(path, world_readable, options.environment);
    let mut settings = parse(&bytes, &source)?;
    settings.warnings.extend(warning_of_end(path, &bytes));
    if let Some(directory) = &options.incoming_dir {
        for site in &mut settings.sites {
            site.incoming_dir.clone_from(directory);
        }
        settings.monitor.incoming_dir.clone_from(directory);
    }
    settings.state_dir = match options.state_dir.clone().or(settings.state_dir) {
        None => Some(default_state_dir(options.environment)?),
        chosen => chosen,
    };
    check_disjoint(&settings)?;
    Ok(settings)
}

/// Reads what the data server of this machine goes by; `None` where the file at `path` is a configuration in TOML.
///
/// # Errors
/// The file cannot be read.
pub fn load_data_server(path: &Path) -> Result<Option<DataServerConf>, ConfigError> {
    let (bytes, _) = read_file(path, "--pandora-conf")
        .map_err(|reason| ConfigError::Unreadable { path: path.to_owned(), reason })?;
    if is_toml(path, &bytes) { Ok(None) } else { pandora_conf::read_data_server(&bytes, path).map(Some) }
}

/// Reads `bytes` in whichever format they are: the file's settings alone.
pub(super) fn parse(bytes: &[u8], source: &Source<'_>) -> Result<Settings, ConfigError> {
    let mut report = Diagnostics::default();
    if let Some((line, message)) = why_unreadable(bytes, source.path) {
        report.error(line, message);
    } else if is_named_toml(source.path) && pandora_conf::is_one(bytes) {
        report.error(
            None,
            "this looks like a pandora_server.conf (`token value`, without `=`), and its name ends in .toml: name it *.conf, or \
             make TOML of it with `tentacle-syncd import`",
        );
    }
    let mut settings = if report.is_hopeless() {
        Settings::of_sites(Vec::new())
    } else if is_toml(source.path, bytes) {
        toml_conf::read(bytes, source, &mut report)
    } else {
        pandora_conf::read(bytes, source, &mut report)
    };
    settings.warnings = report.finish(source.path)?;
    Ok(settings)
}

fn is_named_toml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"))
}

/// By its name, else by having one of our tables, which nothing in a `pandora_server.conf` looks like.
fn is_toml(path: &Path, bytes: &[u8]) -> bool {
    if is_named_toml(path) {
        return true;
    }
    if !bytes.contains(&b'[') {
        return false;
    }
    // The TOML reader itself reports that TOML has to be UTF-8.
    let text = String::from_utf8_lossy(bytes);
    let (document, _) = DeTable::parse_recoverable(text.strip_prefix('\u{feff}').unwrap_or(&text));
    let is_tables = |value: &DeValue<'_>| value.is_table() || value.is_array();
    toml_conf::schema::Section::File
        .keys()
        .iter()
        .any(|name| document.get_ref().get(*name).is_some_and(|value| is_tables(value.get_ref())))
}

/// `option` names the file on the command line.
fn read_file(path: &Path, option: &str) -> Result<(Vec<u8>, bool), String> {
    let mut bytes = Vec::new();
    let file = file::read(path, LARGEST_FILE, &mut bytes).map_err(|error| match error {
        ReadError::TooLarge => "larger than 16 MiB, which no configuration is; name another file".to_owned(),
        other => unreadable(&other.into_io(""), option),
    })?;
    Ok((bytes, is_world_readable(&file)))
}

fn unreadable(error: &std::io::Error, option: &str) -> String {
    use std::io::ErrorKind;
    let advice = match error.kind() {
        ErrorKind::NotFound => format!("; write one, or name another with {option}"),
        ErrorKind::PermissionDenied => "; make it readable for the user this runs as".to_owned(),
        _ => format!("; name another with {option}"),
    };
    format!("cannot read the configuration: {}{advice}", io_message(error))
}

/// Whoever clears an incoming directory, or its staging area, must not take the journal with it.
fn check_disjoint(settings: &Settings) -> Result<(), ConfigError> {
    let state_dir = settings.state_dir();
    let state = real(state_dir);
    match incoming_dirs(&settings.sites).find(|incoming| state.starts_with(real(incoming))) {
        None => Ok(()),
        Some(incoming) => {
            Err(ConfigError::StateAmongFiles { state: state_dir.to_owned(), incoming: incoming.to_owned() })
        }
    }
}

/// The path without links, as far as it exists; as it is written, where its filesystem does not answer.
fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let written = path.clone();
    let resolved = in_time(&path, move || {
        let resolve = |existing: &Path| Some(existing.canonicalize().ok()?.join(written.strip_prefix(existing).ok()?));
        written.ancestors().find_map(resolve)
    });
    resolved.ok().flatten().unwrap_or(path)
}

/// Where nobody named a directory: systemd's, the system's, the user's own.
///
/// # Errors
/// The user has no directory for that.
pub fn default_state_dir(environment: Env) -> Result<PathBuf, ConfigError> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    if let Some(directories) = (environment.var)("STATE_DIRECTORY")
        && let Some(first) = std::env::split_paths(&directories).next().and_then(absolute)
    {
        return Ok(first);
    }
    let system = Path::new(defaults::STATE_DIR);
    if (environment.can_keep_state_in)(system) {
        return Ok(system.to_owned());
    }
    let var = |name| (environment.var)(name).map(PathBuf::from).and_then(absolute);
    var("XDG_STATE_HOME")
        .or_else(|| Some(var("HOME")?.join(".local/state")))
        .map(|base| base.join("tentacle-sync"))
        .ok_or(ConfigError::NoStateDir)
}

#[cfg(test)]
mod tests;
