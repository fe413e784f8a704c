//! The command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::super::getopts::{Getopts, Item, nearest_long, other_case};
use super::env::Env;
use super::error::{Place, UsageError};
use super::key::Key;
use super::raw_option::RawOption;

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Invocation {
    /// To print [`super::HELP`] on standard output.
    Help {
        /// What to exit with afterwards: 1 for `-h`, as stock does; 0 for `--help`.
        exit_code: u8,
    },
    /// To print the version (`--version`).
    Version,
    /// To read everything and print the settings in force (`--check`).
    Check(CommandLine),
    /// To print what a server that runs by this command line is at (`--status`).
    Status {
        /// Where its control socket is.
        line: CommandLine,
        /// As JSON (`--json`).
        json: bool,
    },
    /// To serve.
    Serve(CommandLine),
}

/// The values of a command line; kept for reloads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CommandLine {
    pub(super) said: Vec<RawOption>,
    /// `-F`.
    pub(super) config_file: Option<PathBuf>,
    /// `-w`.
    pub(super) ask_passphrase: bool,
    /// `--allow-root`.
    pub(super) allow_root: bool,
}

impl CommandLine {
    /// The file of `-F`, as an absolute path.
    pub fn config_file(&self, surroundings: &Env) -> Option<PathBuf> {
        self.config_file.as_ref().map(|path| surroundings.resolve(path))
    }
}

/// What an option does.
#[derive(Clone, Copy)]
enum Effect {
    /// Its value is a key's.
    Says(Key),
    /// It has no value, and gives a key this one.
    Sets(Key, &'static str),
    AskPassphrase,
    ConfigFile,
    Help,
    WindowsService,
}

const OPTIONS: [(u8, Effect); 28] = [
    (b'a', Effect::Says(Key::Addresses)),
    (b'b', Effect::Says(Key::ProxyIp)),
    (b'c', Effect::Says(Key::MaxConnections)),
    (b'd', Effect::Sets(Key::Daemon, "1")),
    (b'e', Effect::Says(Key::SslCert)),
    (b'f', Effect::Says(Key::SslCa)),
    (b'F', Effect::ConfigFile),
    (b'g', Effect::Says(Key::ProxyPort)),
    (b'h', Effect::Help),
    (b'i', Effect::Says(Key::Filters)),
    (b'I', Effect::Sets(Key::Insecure, "1")),
    (b'k', Effect::Says(Key::SslKeyFile)),
    (b'l', Effect::Says(Key::LogFile)),
    (b'm', Effect::Says(Key::MaxSize)),
    (b'o', Effect::Sets(Key::Overwrite, "1")),
    (b'p', Effect::Says(Key::Port)),
    (b'q', Effect::Sets(Key::Quiet, "1")),
    (b'r', Effect::Says(Key::Retries)),
    (b's', Effect::Says(Key::Directory)),
    (b'S', Effect::WindowsService),
    (b't', Effect::Says(Key::Timeout)),
    (b'T', Effect::Sets(Key::UseLibwrap, "1")),
    (b'u', Effect::Says(Key::SslCipher)),
    (b'v', Effect::Sets(Key::Verbose, "1")),
    (b'V', Effect::Sets(Key::Verbose, "2")),
    (b'w', Effect::AskPassphrase),
    (b'x', Effect::Says(Key::Password)),
    (b'z', Effect::Says(Key::SslVersion)),
];

const LONG_OPTIONS: [&str; 9] =
    ["allow-root", "check", "control-socket", "help", "json", "no-extension", "status", "user", "version"];

/// Takes the arguments after the program's name apart; [`super::load()`] checks their values.
///
/// # Errors
/// What is no option, or lacks its value.
pub fn parse_args(args: impl IntoIterator<Item = OsString>) -> Result<Invocation, UsageError> {
    let mut parser = Parser { items: Getopts::new(args), line: CommandLine::default(), task: Task::Serve, json: false };
    while let Some(item) = parser.items.next() {
        let request = match item {
            Item::Letter(letter) => parser.letter(letter)?,
            Item::Long { name, value } => parser.long(&name, value)?,
            Item::Operand(operand) => return Err(parser.operand(&operand)),
        };
        if let Some(request) = request {
            return Ok(request);
        }
    }
    let Parser { line, task, json, .. } = parser;
    match task {
        Task::Status => Ok(Invocation::Status { line, json }),
        _ if json => Err(UsageError::NeedsStatus("--json")),
        Task::Check => Ok(Invocation::Check(line)),
        Task::Serve => Ok(Invocation::Serve(line)),
    }
}

/// What is to be done with a configuration.
enum Task {
    Serve,
    Check,
    Status,
}

struct Parser {
    items: Getopts,
    line: CommandLine,
    task: Task,
    json: bool,
}

impl Parser {
    fn letter(&mut self, letter: u8) -> Result<Option<Invocation>, UsageError> {
        let effect = effect_of(letter).ok_or_else(|| unknown_letter(letter))?;
        let option = format!("-{}", char::from(letter));
        match effect {
            Effect::Help => return Ok(Some(Invocation::Help { exit_code: 1 })),
            Effect::WindowsService => return Err(UsageError::WindowsOnly),
            Effect::AskPassphrase => self.line.ask_passphrase = true,
            Effect::Sets(Key::Verbose, "1") if self.has_said(Key::Verbose) => {}
            Effect::Sets(key, value) => self.add(key, value.as_bytes(), option),
            Effect::ConfigFile => {
                let path = self.value(&option)?;
                self.line.config_file = Some(OsString::from_vec(path).into());
            }
            Effect::Says(key) => {
                let value = self.value(&option)?;
                self.add(key, &value, option);
            }
        }
        Ok(None)
    }

    fn long(&mut self, name: &str, value: Option<String>) -> Result<Option<Invocation>, UsageError> {
        let option = format!("--{name}");
        if !LONG_OPTIONS.contains(&name) {
            return Err(UsageError::UnknownOption { nearest: nearest_option(name), option });
        }
        match (name, value) {
            ("user" | "control-socket", attached) => {
                let value = match attached.filter(|attached| !attached.is_empty()) {
                    Some(attached) => attached.into_bytes(),
                    None => self.value(&option)?,
                };
                let key = if name == "user" { Key::User } else { Key::ControlSocket };
                self.add(key, &value, option);
            }
            (_, Some(_)) => return Err(UsageError::UnwantedValue(option)),
            ("help", None) => return Ok(Some(Invocation::Help { exit_code: 0 })),
            ("version", None) => return Ok(Some(Invocation::Version)),
            ("check", None) => self.task = Task::Check,
            ("status", None) => self.task = Task::Status,
            ("json", None) => self.json = true,
            ("no-extension", None) => self.add(Key::Extension, b"0", option),
            (_, None) => self.line.allow_root = true,
        }
        Ok(None)
    }

    fn value(&mut self, option: &str) -> Result<Vec<u8>, UsageError> {
        self.items.value().ok_or_else(|| UsageError::MissingValue(option.to_owned()))
    }

    fn add(&mut self, key: Key, value: &[u8], option: String) {
        self.line.said.push(RawOption::new(key, value, Place::Option(option)));
    }

    fn has_said(&self, key: Key) -> bool {
        self.line.said.iter().any(|said| said.key == key)
    }

    fn operand(&self, operand: &OsStr) -> UsageError {
        let may_be_secret = self.has_said(Key::Password);
        UsageError::Operand((!may_be_secret).then(|| operand.to_string_lossy().into_owned()))
    }
}

fn effect_of(letter: u8) -> Option<Effect> {
    OPTIONS.iter().find(|(known, _)| *known == letter).map(|(_, effect)| *effect)
}

fn unknown_letter(letter: u8) -> UsageError {
    let other_case = other_case(letter);
    let nearest = effect_of(other_case).map(|_| format!("-{}", char::from(other_case)));
    UsageError::UnknownOption { option: format!("-{}", letter.escape_ascii()), nearest }
}

/// A long option, or the letter for what is a key in the file.
fn nearest_option(name: &str) -> Option<String> {
    let of_key = || {
        let key = Key::named(name.replace('-', "_").as_bytes())?;
        let says = |effect: &Effect| matches!(effect, Effect::Says(said) | Effect::Sets(said, _) if *said == key);
        let (letter, _) = OPTIONS.iter().find(|(_, effect)| says(effect))?;
        Some(format!("-{}", char::from(*letter)))
    };
    of_key().or_else(|| nearest_long(name, LONG_OPTIONS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Invocation, UsageError> {
        parse_args(args.iter().map(OsString::from))
    }

    fn said(args: &[&str]) -> Vec<(&'static str, String)> {
        match parse(args).unwrap() {
            Invocation::Serve(line) => line
                .said
                .iter()
                .map(|said| (said.key.name(), String::from_utf8(said.value().to_vec()).unwrap()))
                .collect(),
            other => panic!("{args:?} asks for {other:?}"),
        }
    }

    fn assert_said(args: &[&str], expected: &[(&'static str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        assert_eq!(said(args), expected, "{args:?}");
    }

    #[test]
    fn values_are_attached_or_follow() {
        assert_said(&["-p41121", "-c", "10"], &[("port", "41121"), ("max_connections", "10")]);
        assert_said(
            &["-vs/data", "-Io"],
            &[("verbose", "1"), ("directory", "/data"), ("insecure", "1"), ("overwrite", "1")],
        );
        assert_said(&["-c", "-1"], &[("max_connections", "-1")]);
        assert_said(&["-s", "--"], &[("directory", "--")]);
        assert_said(&["-a", "", "--"], &[("addresses", "")]);
    }

    #[test]
    fn an_attached_value_keeps_its_equals_sign() {
        assert_said(&["-x=secret"], &[("password", "=secret")]);
    }

    #[test]
    fn what_init_scripts_pass_just_works() {
        let options = r"-i.*\.conf:conf;.*\.md5:md5;.*\.zip:collections;.*\.lock:trans -d -I -o";
        assert_said(
            &options.split(' ').collect::<Vec<_>>(),
            &[
                ("filters", r".*\.conf:conf;.*\.md5:md5;.*\.zip:collections;.*\.lock:trans"),
                ("daemon", "1"),
                ("insecure", "1"),
                ("overwrite", "1"),
            ],
        );
    }

    #[test]
    fn the_most_verbose_counts() {
        assert_said(&["-vv"], &[("verbose", "1")]);
        assert_said(&["-V", "-v"], &[("verbose", "2")]);
        assert_said(&["-vV"], &[("verbose", "1"), ("verbose", "2")]);
    }

    #[test]
    fn the_long_options_are_ours() {
        assert_said(&["--user", "pandora", "--user=other"], &[("user", "pandora"), ("user", "other")]);
        assert_eq!(parse(&["--help"]), Ok(Invocation::Help { exit_code: 0 }));
        assert_eq!(parse(&["-s", "/x", "-qh"]), Ok(Invocation::Help { exit_code: 1 }));
        assert_eq!(parse(&["--version"]), Ok(Invocation::Version));
        assert!(matches!(parse(&["-wF", "/c", "--allow-root"]), Ok(Invocation::Serve(line))
            if line.ask_passphrase && line.allow_root && line.config_file == Some("/c".into())));
        assert!(matches!(parse(&["-s/x", "--check"]), Ok(Invocation::Check(_))));
        assert!(matches!(parse(&["-F", "/c", "--status"]), Ok(Invocation::Status { json: false, line })
            if line.config_file == Some("/c".into())));
        assert!(matches!(parse(&["--json", "--status"]), Ok(Invocation::Status { json: true, .. })));
        assert_said(&["-s/x", "--control-socket", "c.sock"], &[("directory", "/x"), ("control_socket", "c.sock")]);
    }

    #[test]
    fn mistakes_are_named_with_what_was_meant() {
        for (args, message) in [
            (&["-G"][..], "unknown option -G, did you mean -g?; tentacle_server -h lists them"),
            (&["-j"], "unknown option -j; tentacle_server -h lists them"),
            (&["-q-v"], "unknown option --; tentacle_server -h lists them"),
            (&["--port=5"], "unknown option --port, did you mean -p?; tentacle_server -h lists them"),
            (&["--usr", "x"], "unknown option --usr, did you mean --user?; tentacle_server -h lists them"),
            (&["-c"], "-c needs a value after it"),
            (&["--user"], "--user needs a value after it"),
            (&["--check=yes"], "--check takes no value"),
            (&["--json", "-s/x"], "--json needs --status"),
            (
                &["conf"],
                "\"conf\" is no option, and there is nothing else to name; quote values that hold blanks or `;`",
            ),
            (&["-"], "\"-\" is no option, and there is nothing else to name; quote values that hold blanks or `;`"),
            (
                &["-d", "--", "-I"],
                "\"-I\" is no option, and there is nothing else to name; quote values that hold blanks or `;`",
            ),
            (&["-S", "install"], "-S manages a service of Windows, which this is not; on Linux use systemd or -d"),
        ] {
            assert_eq!(parse(args).unwrap_err().to_string(), message, "{args:?}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        let error = parse(&["-x", "correct", "horse"]).unwrap_err().to_string();
        assert!(error.starts_with("what follows the value of -x is no option"), "{error}");
        let debug = format!("{:?}", parse(&["-xcorrect"]).unwrap());
        assert!(!debug.contains("correct") && !debug.contains("99, 111"), "{debug}");
    }
}
