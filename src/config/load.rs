//! From a path to [`Settings`].

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::cut_off::warning_of_end;
use super::error::{ConfigError, Diagnostics, Place};
use super::pandora_conf::DataServerConf;
use super::settings::{DaemonPaths, ReadFile, Settings, incoming_dirs};
use super::source::{Env, FileText, Source, io_message};
use super::{defaults, include, pandora_conf, toml_conf};
use crate::in_time::in_time;
use crate::proto::Fingerprint;
use crate::text::why_unreadable;

/// Where a configuration is looked for when none is named, in this order.
pub const DEFAULT_PATHS: [&str; 2] = ["/etc/tentacle-sync/tentacle-syncd.toml", "/etc/pandora/pandora_server.conf"];

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

/// Reads the configuration at `path`, our TOML with the files that it includes, or a `pandora_server.conf`.
///
/// Of other files only those with passwords and passphrases are read: certificates and directories need not exist.
///
/// # Errors
/// All that is wrong with the files, with lines.
pub fn load(path: &Path, options: &LoadOptions) -> Result<Settings, ConfigError> {
    let text = read_file(path, "--config")?;
    let main = Source::new(path, &text, options.environment);
    let mut report = Diagnostics::default();
    let included = if may_include(&main) { include::read(&main, &mut report) } else { Vec::new() };
    let sources = included.iter().map(|(path, text)| Source::new(path, text, options.environment));
    let sources: Vec<Source<'_>> = std::iter::once(main).chain(sources).collect();
    let mut settings = parse(&sources, report)?;
    settings.files = sources.iter().map(read_as).collect();
    settings.warnings.extend(sources.iter().filter_map(|source| warning_of_end(source.path, &source.text.bytes)));
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

/// Reads of the configuration at `path` only where its daemon is reached: whatever else is wrong with it, and with the files
/// that it includes, the daemon goes on by what it has read before, and is to be asked. The state directory is always known.
///
/// # Errors
/// The file cannot be read, or is no TOML; what is wrong with these keys of it.
pub fn load_daemon_paths(path: &Path, options: &LoadOptions) -> Result<DaemonPaths, ConfigError> {
    let text = read_file(path, "--config")?;
    let main = Source::new(path, &text, options.environment);
    let mut report = Diagnostics::default();
    let is_toml = is_toml(path, &text.bytes);
    let mut paths = if is_toml { toml_conf::read_daemon_paths(&main, &mut report) } else { DaemonPaths::default() };
    report.finish(&[path])?;
    paths.state_dir = match options.state_dir.clone().or(paths.state_dir) {
        None => Some(default_state_dir(options.environment)?),
        chosen => chosen,
    };
    Ok(paths)
}

fn read_as(source: &Source<'_>) -> ReadFile {
    ReadFile { path: source.path.to_owned(), fingerprint: Fingerprint::of(&source.text.bytes) }
}

/// The files that the configuration at `path` consists of now, as far as they can be found out.
pub fn files_of(path: &Path) -> Vec<PathBuf> {
    let mut files = vec![path.to_owned()];
    if let Ok(text) = FileText::read(path) {
        let main = Source::new(path, &text, Env::of_process());
        if may_include(&main) {
            let included = include::find(&main, &mut Diagnostics::default());
            files.extend(included.into_iter().map(|included| included.path));
        }
    }
    files
}

/// Reads what the data server of this machine goes by; `None` where the file at `path` is a configuration in TOML.
///
/// # Errors
/// The file cannot be read.
pub fn load_data_server(path: &Path) -> Result<Option<DataServerConf>, ConfigError> {
    let text = read_file(path, "--pandora-conf")?;
    if is_toml(path, &text.bytes) { Ok(None) } else { pandora_conf::read_data_server(&text.bytes, path).map(Some) }
}

/// Reads files in whichever format they are, that which includes the others first: their settings alone.
pub(super) fn parse(files: &[Source<'_>], mut report: Diagnostics) -> Result<Settings, ConfigError> {
    for (file, source) in files.iter().enumerate() {
        if let Some((line, message)) = why_not_as_named(source) {
            report.error(Place { file, line }, message);
        }
    }
    let mut settings = match files {
        _ if report.is_hopeless() => Settings::of_sites(Vec::new()),
        [only] if !is_toml(only.path, &only.text.bytes) => pandora_conf::read(only, &mut report),
        files => toml_conf::read(files, &mut report),
    };
    let paths: Vec<&Path> = files.iter().map(|file| file.path).collect();
    settings.warnings = report.finish(&paths)?;
    Ok(settings)
}

/// Why the file is not what its name has it be, and the line, where it is one line's doing.
fn why_not_as_named(source: &Source<'_>) -> Option<(Option<usize>, String)> {
    let (path, bytes) = (source.path, &source.text.bytes);
    let is_pandora = || is_named_toml(path) && pandora_conf::is_one(bytes);
    why_unreadable(bytes, path).or_else(|| is_pandora().then(|| (None, PANDORA_IN_TOML.to_owned())))
}

const PANDORA_IN_TOML: &str = "this looks like a pandora_server.conf (`token value`, without `=`), and its name ends in .toml: name it *.conf, or \
     make TOML of it with `tentacle-syncd import`";

/// Whether the file may include others.
fn may_include(source: &Source<'_>) -> bool {
    why_not_as_named(source).is_none() && is_toml(source.path, &source.text.bytes)
}

pub(super) fn is_named_toml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"))
}

/// By its name, else by having one of our tables, which nothing in a `pandora_server.conf` looks like.
pub(super) fn is_toml(path: &Path, bytes: &[u8]) -> bool {
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
fn read_file(path: &Path, option: &str) -> Result<FileText, ConfigError> {
    let reason = |error| ConfigError::Unreadable { path: path.to_owned(), reason: unreadable(&error, option) };
    FileText::read(path).map_err(reason)
}

fn unreadable(error: &io::Error, option: &str) -> String {
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

/// Reads `bytes` as the only file of a configuration.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn parse_only(bytes: &[u8], path: &str, environment: Env) -> Result<Settings, ConfigError> {
    let text = FileText { bytes: bytes.to_vec(), world_readable: false };
    parse(&[Source::new(Path::new(path), &text, environment)], Diagnostics::default())
}

#[cfg(test)]
mod tests;
