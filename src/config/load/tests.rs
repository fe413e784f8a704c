use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::config::SiteSettings;
use crate::proto::Secret;

/// Nothing is set, no file is a secret, and the system's state directory is not ours.
const BARE: Env = Env { var: |_| None, read_secret: |_| Err(ErrorKind::NotFound.into()), can_keep_state_in: |_| false };

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

fn written(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    (directory, path)
}

fn options(environment: Env) -> LoadOptions {
    LoadOptions { state_dir: None, incoming_dir: None, environment }
}

const HOME: Env = Env { var: |name| (name == "HOME").then(|| "/home/me".into()), ..BARE };

#[test]
fn the_shipped_configurations_load_without_a_warning() {
    let toml = load(&shipped("tentacle-syncd.toml"), &options(HOME)).unwrap();
    assert_eq!(toml.warnings, Vec::<String>::new());
    assert_eq!(toml.sites, [SiteSettings::new("example", "192.0.2.10")]);
    let pandora = load(&shipped("pandora_server.conf"), &options(HOME)).unwrap();
    assert_eq!(pandora.warnings, Vec::<String>::new());
    let site = |address: &str| SiteSettings::new(address, address);
    assert_eq!(pandora.sites, [site("192.0.2.10"), site("198.51.100.20")]);
}

#[test]
fn the_format_is_known_by_name_or_by_content() {
    let toml = "[[site]]\nname = \"plant\"\naddress = \"10.0.0.1\"\n";
    let broken = "[[site]]\nname = plant\n";
    let pandora = "syncserver 0\nsync_address 10.0.0.1\n";
    assert!(is_toml(Path::new("a.toml"), pandora.as_bytes()));
    assert!(is_toml(Path::new("a.TOML"), b""));
    assert!(is_toml(Path::new("a.conf"), toml.as_bytes()));
    assert!(is_toml(Path::new("a"), broken.as_bytes()));
    assert!(!is_toml(Path::new("pandora_server.conf"), pandora.as_bytes()));
    assert!(!is_toml(Path::new("pandora_server.conf"), b"# [site]\n[unknown]\nsync_address [::1]\n"));
    assert!(is_toml(Path::new("a.conf"), "\u{feff}[[site]]\naddress = \"a\"\n".as_bytes()));
    assert!(is_toml(Path::new("a.conf"), b"site = [{ address = \"a\" }]\n"));
    assert!(!is_toml(Path::new("pandora_server.conf"), b"# \xff\nsync_address [::1]\n"));
}

#[test]
fn the_command_line_wins() {
    let text = "[sync]\nstate_dir = \"state\"\n[[site]]\naddress = \"a\"\nincoming_dir = \"/own\"\n";
    let (directory, path) = written("a.toml", text);
    let said = load(&path, &options(BARE)).unwrap();
    assert_eq!(said.state_dir(), directory.path().join("state"));
    assert_eq!(said.sites[0].incoming_dir, Path::new("/own"));
    let won = LoadOptions { state_dir: Some("/s".into()), incoming_dir: Some("/i".into()), environment: BARE };
    let settings = load(&path, &won).unwrap();
    assert_eq!((settings.state_dir(), &*settings.sites[0].incoming_dir), (Path::new("/s"), Path::new("/i")));
}

#[test]
fn the_state_may_not_lie_in_an_incoming_directory() {
    let directory = tempfile::tempdir().unwrap();
    let incoming = directory.path().join("in");
    std::fs::create_dir(&incoming).unwrap();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&incoming, &link).unwrap();
    let (_kept, path) = written("a.toml", "[[site]]\naddress = \"a\"\n");
    let load_with = |state: PathBuf| {
        let options = LoadOptions { state_dir: Some(state), incoming_dir: Some(incoming.clone()), environment: BARE };
        load(&path, &options)
    };
    for state in [incoming.clone(), incoming.join(".tentacle-sync"), incoming.join("new/state"), link.join("state")] {
        let error = ConfigError::StateAmongFiles { state: state.clone(), incoming: incoming.clone() };
        assert_eq!(load_with(state), Err(error));
    }
    for state in ["state", "in.state"] {
        assert!(load_with(directory.path().join(state)).is_ok(), "{state}");
    }
    let error = load_with(link).unwrap_err().to_string();
    assert!(error.contains("lies in the incoming directory") && error.contains("--state-dir"), "{error}");
}

#[test]
fn the_state_directory_is_found() {
    fn systemd(name: &str) -> Option<OsString> {
        (name == "STATE_DIRECTORY").then(|| "/var/lib/first:/var/lib/second".into())
    }
    fn xdg(name: &str) -> Option<OsString> {
        (name == "XDG_STATE_HOME" || name == "HOME").then(|| format!("/{name}").into())
    }
    fn relative(name: &str) -> Option<OsString> {
        (name != "STATE_DIRECTORY").then(|| if name == "HOME" { "/home/me" } else { "relative" }.into())
    }
    for (environment, expected) in [
        (Env { var: systemd, ..BARE }, Ok("/var/lib/first".into())),
        (Env { can_keep_state_in: |_| true, ..HOME }, Ok("/var/lib/tentacle-sync".into())),
        (Env { var: xdg, ..BARE }, Ok("/XDG_STATE_HOME/tentacle-sync".into())),
        (HOME, Ok("/home/me/.local/state/tentacle-sync".into())),
        (Env { var: relative, ..BARE }, Ok("/home/me/.local/state/tentacle-sync".into())),
        (BARE, Err(ConfigError::NoStateDir)),
    ] {
        assert_eq!(default_state_dir(environment), expected);
    }
}

#[test]
fn a_file_that_is_not_there_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("none.toml");
    let error = load(&path, &LoadOptions::default()).unwrap_err().to_string();
    let reason = "cannot read the configuration: no such file; write one, or name another with --config";
    assert_eq!(error, format!("{}: {reason}", path.to_string_lossy()));
    let error = load(directory.path(), &LoadOptions::default()).unwrap_err().to_string();
    let reason = "cannot read the configuration: a directory, not a file; name another with --config";
    assert_eq!(error, format!("{}: {reason}", directory.path().to_string_lossy()));
}

#[test]
fn secrets_are_read_from_files_and_lax_rights_are_warned_of() {
    let text = "[[site]]\naddress = \"a\"\npassword_file = \"pw\"\n";
    let (directory, path) = written("a.toml", text);
    let file = directory.path().join("pw");
    std::fs::write(&file, "hunter2\r\n").unwrap();
    let environment = Env { read_secret: super::super::SecretFile::read, ..HOME };
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let settings = load(&path, &options(environment)).unwrap();
    assert_eq!(settings.sites[0].password, Some(Secret::new(b"hunter2".to_vec())));
    assert_eq!(settings.warnings, Vec::<String>::new());
    assert!(!format!("{settings:?}").contains("hunter2"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let settings = load(&path, &options(environment)).unwrap();
    let (path, file) = (path.to_string_lossy(), file.to_string_lossy());
    let warning = format!("password_file: every user of this machine can read {file}; chmod o-r {file}");
    assert_eq!(settings.warnings, [format!("{path}:3: {warning}")]);
}

#[test]
fn a_password_in_a_file_for_everyone_is_warned_of() {
    let (_directory, path) = written("a.toml", "[[site]]\naddress = \"a\"\npassword = \"hunter2\"\n");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let settings = load(&path, &options(HOME)).unwrap();
    let path = path.to_string_lossy();
    let warning = format!("password: every user of this machine can read this file; chmod o-r {path}");
    assert_eq!(settings.warnings, [format!("{path}:3: {warning}")]);
}

/// What is reported of a configuration of this name and these bytes.
fn refusal(name: &str, bytes: impl AsRef<[u8]>) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let error = load(&path, &options(HOME)).unwrap_err().to_string();
    error.replace(&format!("{}/", directory.path().to_string_lossy()), "")
}

#[test]
fn other_encodings_are_named_with_the_command_that_converts_them() {
    let pandora = "sync_address 10.0.0.1\nsync_port 41121\n";
    let toml = "[[site]]\naddress = \"10.0.0.1\"\n";
    for (name, text) in [("p.conf", pandora), ("s.toml", toml)] {
        for (mark, is_little) in [("", true), ("\u{feff}", true), ("", false), ("\u{feff}", false)] {
            let bytes = |unit: u16| if is_little { unit.to_le_bytes() } else { unit.to_be_bytes() };
            let utf16: Vec<u8> = format!("{mark}{text}").encode_utf16().flat_map(bytes).collect();
            let from = if is_little { "UTF-16LE" } else { "UTF-16BE" };
            let (error, command) = (refusal(name, utf16), format!("`iconv -f {from} -t UTF-8 "));
            assert!(error.starts_with(&format!("{name}: the file is saved as UTF-16")), "{error}");
            assert!(error.contains(&command) && error.lines().count() == 1, "{error}");
        }
        let error = refusal(name, text.replace('\n', "\r"));
        assert!(error.contains("end in a carriage return alone") && error.contains("`tr '\\r' '\\n' < "), "{error}");
    }
}

#[test]
fn a_nul_is_an_error_with_its_line() {
    let message = "there is a NUL byte in this line: the file is damaged, or no text file";
    assert_eq!(refusal("p.conf", "sync_address a\n# a\0b\n"), format!("p.conf:2: {message}"));
    assert_eq!(refusal("s.toml", "[[site]]\naddress = \"a\"\n\0"), format!("s.toml:3: {message}"));
}

#[test]
fn a_format_under_the_name_of_the_other_is_recognised() {
    let error = refusal("s.toml", "# Sync Server\nsyncserver 0\nsync_address 10.0.0.1\n");
    assert!(error.starts_with("s.toml: this looks like a pandora_server.conf"), "{error}");
    assert!(error.contains("name it *.conf") && error.lines().count() == 1, "{error}");
    // What is TOML stays TOML, whatever is wrong with it.
    let error = refusal("s.toml", "sync_address = 10.0.0.1\n[[site]\n");
    assert!(!error.contains("pandora_server.conf"), "{error}");
    let error = refusal("s.conf", "[sites]\naddress = \"10.0.0.1\"\n");
    assert!(error.contains("this looks like TOML") && error.contains("name it *.toml"), "{error}");
}

#[test]
fn toml_under_the_name_of_the_other_is_not_passed_over_without_a_word() {
    let error = refusal("s.conf", b"# K\xf6ln\n[[site]]\naddress = \"10.0.0.1\"\n");
    assert_eq!(error, "s.conf:1: expected UTF-8, found other bytes; save the file as UTF-8");
    let (_directory, path) = written("s.conf", "sync_address = \"10.0.0.1\"\n[Defaults]\ninterval = \"5s\"\n[x]\n");
    let warnings = load(&path, &options(HOME)).unwrap().warnings;
    let ignored = "[Defaults] and its keys are ignored, as the file has none of tentacle-syncd's tables ([sync], [tls], \
                   [defaults], [[site]]), and is read as a pandora_server.conf; if it is meant as TOML, name it *.toml to \
                   see what is wrong with it";
    assert_eq!(warnings[1..], [format!("{}:2: {ignored}", path.to_string_lossy())]);
}

#[test]
fn what_protects_a_site_is_not_lost_by_a_word_or_by_a_line_that_is_missing() {
    let site = |lines: &str| format!("[[site]]\naddress = \"10.0.0.1\"\n{lines}");
    let with_tls = |tls: &str| site(&format!("tls = {{ ca = \"ca.pem\", {tls} }}\n"));
    let pandora = |lines: &str| format!("sync_address 10.0.0.1\nsync_cert c.pem\nsync_key k.pem\n{lines}");
    for (name, before, now, lost) in [
        ("s.toml", site("password = \"x\"\n"), site(""), "password"),
        ("s.toml", with_tls(""), site(""), "tls"),
        ("s.toml", with_tls(""), with_tls("verify = \"none\""), "check of the certificate (verify)"),
        ("s.toml", with_tls("verify = \"chain+name\""), with_tls(""), "check of the name (verify)"),
        ("p.conf", pandora("sync_ca ca.pem\n"), pandora(""), "check of the certificate (verify)"),
    ] {
        let [before, now] = [before, now].map(|text| {
            let (_directory, path) = written(name, &text);
            load(&path, &options(HOME)).unwrap()
        });
        assert_eq!(now.unprotected(&before), [format!("{lost} of site 10.0.0.1")]);
        assert_eq!(before.unprotected(&now), Vec::<String>::new());
    }
}
