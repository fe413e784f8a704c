//! What a person has to write for a key beside its entry is asked for here.

use super::super::export::to_toml;
use super::super::http_settings::{HTTP, HttpSettings};
use super::super::load::parse_only;
use super::super::settings::{MONITOR, MonitorSettings, SITE, SYNC, Settings, SiteSettings};
use super::super::source::{Env, SecretFile};
use super::super::toml_conf::TLS;
use super::super::toml_conf::schema::{OWN, Section};
use super::*;

const EXAMPLE: &str = include_str!("../../../config/tentacle-syncd.toml");
const MANUAL: &str = include_str!("../../../config/tentacle-syncd.8");

/// A value for each key, and not the default one.
const EVERY_KEY: &str = r#"
    [sync]
    state_dir = "/state"
    durability = "none"
    publish = "at-once"
    max_spool_files = 9
    max_spool_bytes = "1MiB"
    max_connections = 7
    bwlimit = "10M"
    control_socket = "/run/c.sock"
    control_mode = "0600"
    control_group = "operators"
    shutdown_timeout = "1m30s"

    [tls]
    ca = "/ca.pem"
    cert = "/cert.pem"
    key = "/key.pem"
    verify = "chain+name"
    offer_client_cert = false

    [monitor]
    agent = "collector"
    interval = "1m"
    per_site = true
    incoming_dir = "/own"

    [http]
    listen = "127.0.0.2:80"
    token_file = "token"
    cert = "/http.pem"
    key = "/http.key"
    client_ca = "/clients.pem"
    hosts = ["collector.example.org"]

    [group.plants]

    [[site]]
    name = "plant"
    address = "10.0.0.1"
    group = "plants"
    enabled = false
    port = 4000
    interval = "1m30s"
    timeout = 5
    retries = 0
    connections = 64
    password_file = "pw"
    tls = {}
    proxy = { host = "proxy", port = 3128 }
    incoming_dir = "/in"
    include = ["*.xml", "*.data"]
    exclude = ["test*"]
    delivery = "move"
    order = "fresh-first"
    max_file_size = "2MB"
    min_rate = 0
    bwlimit = "08:00,512K Sat-08:00,off 19:00,10M"
    round_limit = "1h"
    keep_open = 0
    quickack = false
    extension = false
    compression = true
    pipelining = false
    remote_config = true
    remote_config_interval = "5m"
    remote_config_max_agents = 10
    remote_config_max_bytes = "1MB"
    remote_config_min_free = 0
"#;

/// Every variable is set, and every file can be read.
const ANSWERING: Env = Env {
    var: |_| Some("secret-secret-secret".into()),
    read_secret: |_| Ok(SecretFile { bytes: b"secret-secret-secret\n".to_vec(), world_readable: false }),
    can_keep_state_in: |_| false,
};

fn read(text: &str) -> Settings {
    parse_only(text.as_bytes(), "/etc/t/c.toml", ANSWERING).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Names of those of `keys` that two settings have alike.
fn alike<S, N>(keys: &'static [Key<S, N>], one: &S, other: &S) -> Vec<&'static str> {
    keys.iter().filter(|key| (key.is_same)(one, other)).flat_map(|key| (key.names)()).collect()
}

fn others<S, N>(keys: &'static [Key<S, N>], one: &S, other: &S) -> Vec<&'static str> {
    keys.iter().filter(|key| !(key.is_same)(one, other)).flat_map(|key| (key.names)()).collect()
}

const NONE: [&str; 0] = [];

#[test]
fn what_each_key_says_arrives() {
    let (said, built_in) = (read(EVERY_KEY), Settings::of_sites(Vec::new()));
    let why = "say it in EVERY_KEY, otherwise than by default";
    assert_eq!(alike(SYNC, &said, &built_in), NONE, "{why}");
    assert_eq!(alike(SITE, &said.sites[0], &SiteSettings::new("", "")), NONE, "{why}");
    assert_eq!(alike(MONITOR, &said.monitor, &MonitorSettings::default()), NONE, "{why}");
    assert_eq!(alike(HTTP, &said.http, &HttpSettings::default()), NONE, "{why}");
    let tls = |text: &str| read(&format!("[[site]]\naddress = \"a\"\ntls = {{ {text} }}\n")).sites[0].tls.clone();
    let (ca, none) = (tls("ca = \"/ca\""), tls("verify = \"none\""));
    assert_eq!(alike(TLS, &said.sites[0].tls.clone().unwrap(), &none.unwrap()), NONE, "{why}");
    assert_eq!(alike(TLS, &said.sites[0].tls.clone().unwrap(), &ca.unwrap()), NONE, "{why}");
}

#[test]
fn what_each_key_says_is_exported() {
    let said = read(EVERY_KEY);
    let text = to_toml(&said);
    let again = read(&text);
    assert_eq!(others(SYNC, &again, &said), ["state_dir"], "whoever imports need not be who runs: {text}");
    assert_eq!(others(MONITOR, &again.monitor, &said.monitor), NONE, "{text}");
    assert_eq!(again.sites[0].group, said.sites[0].group, "{text}");
    let differing: Vec<&str> = others(HTTP, &again.http, &said.http);
    assert!(
        differing.iter().all(|name| name.starts_with("token")),
        "but for secrets: {differing:?} differ after {text}"
    );
    let differing: Vec<&str> = others(SITE, &again.sites[0], &said.sites[0]);
    assert!(
        differing.iter().all(|name| name.starts_with("password")),
        "but for secrets: {differing:?} differ after {text}"
    );
}

#[test]
fn a_reload_names_what_waits_for_a_restart_and_so_does_the_manual_page() {
    let (started, changed) = (Settings::of_sites(Vec::new()), read(EVERY_KEY));
    let waiting = changed.waiting_for_restart(&started);
    let of_manual = between(MANUAL, "Only a restart changes\n", ".It ");
    for name in names(SYNC) {
        let is_waiting = waiting.contains(&name);
        assert_eq!(
            words(of_manual).any(|word| word == name),
            is_waiting,
            "{name} among what waits for a restart, under SIGHUP in config/tentacle-syncd.8"
        );
    }
    assert!(started.waiting_for_restart(&started).is_empty());
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(begin).unwrap_or_else(|| panic!("{begin:?} is there"));
    rest.split_once(end).unwrap_or_else(|| panic!("{end:?} is there")).0
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

#[test]
fn the_manual_page_has_every_key() {
    for key in Section::File.keys() {
        let titles = [key.to_owned(), format!("[{key}]"), format!("[[{key}]]"), format!("[{key}.NAME]")];
        let is_there = titles.iter().any(|title| MANUAL.contains(&format!(".It Li {title}\n")));
        assert!(is_there, "config/tentacle-syncd.8 lacks an item for {key}");
    }
    for (section, item) in [
        (Section::Sync, "[sync]"),
        (Section::Tls, "[tls]"),
        (Section::Monitor, "[monitor]"),
        (Section::Http, "[http]"),
        (Section::Site, "[[site]]"),
        (Section::Proxy, "[[site]]"),
    ] {
        let item = between(MANUAL, &format!(".It Li {item}\n"), "\n.It ");
        let listed: Vec<&str> = item.lines().filter_map(|line| line.strip_prefix(".Ic ")).flat_map(words).collect();
        for key in section.keys() {
            let title = section.title();
            assert!(listed.contains(&key), "config/tentacle-syncd.8 lacks {key} in an .Ic line of {title}");
        }
    }
}

/// A line of the example that is `key = value` or a table's header, commented out or not.
struct ExampleLine<'a> {
    header: Option<&'a str>,
    text: &'a str,
    key: &'a str,
}

/// Prose has a blank after `#`, what is commented out has none.
fn example_lines(example: &str) -> Vec<ExampleLine<'_>> {
    let mut header = None;
    let mut lines = Vec::new();
    for text in example.lines() {
        let live = text.strip_prefix('#').unwrap_or(text);
        if live.starts_with('[') {
            header = Some(text);
        } else if let Some((key, _)) = live.split_once(" = ")
            && !live.starts_with(' ')
        {
            lines.push(ExampleLine { header, text, key });
        }
    }
    lines
}

fn uncommented(example: &str, chosen: &[&str]) -> String {
    let uncomment =
        |line: &str| if chosen.contains(&line) { line.trim_start_matches('#') } else { line }.to_owned() + "\n";
    example.lines().map(uncomment).collect()
}

#[test]
fn the_example_shows_every_key() {
    let lines = example_lines(EXAMPLE);
    let assert_shown = |key: &str, title: &str| {
        let is_it =
            |line: &ExampleLine<'_>| line.key == key && line.header.is_some_and(|header| header.ends_with(title));
        assert!(lines.iter().any(is_it), "config/tentacle-syncd.toml lacks a line `#{key} = …` in {title}");
    };
    for section in [Section::Sync, Section::Tls, Section::Defaults, Section::Monitor, Section::Http] {
        for key in section.keys() {
            assert_shown(key, section.title());
        }
    }
    assert!(lines.iter().any(|line| line.header.is_none() && line.key == "include"), "include stands above all tables");
    for key in OWN {
        assert_shown(key, Section::Site.title());
    }
    let proxies: String = lines.iter().filter(|line| line.key == "proxy").map(|line| line.text).collect();
    // `password` is shown on its own, as a site's.
    for key in Section::Proxy.keys().into_iter().filter(|key| *key != "password") {
        assert!(proxies.contains(&format!("{key} = ")), "config/tentacle-syncd.toml lacks {key} in a proxy");
    }
}

#[test]
fn what_the_example_has_commented_out_would_be_understood() {
    for line in example_lines(EXAMPLE) {
        let chosen = [Some(line.text), line.header, Some("#ca = \"/home/cacert.pem\"")];
        // What has to stand beside it.
        let beside: &[&str] = match (line.header, line.key) {
            (Some("[http]"), "cert" | "key" | "client_ca") => {
                &["#cert = \"/etc/tentacle-sync/http.pem\"", "#key = \"/etc/tentacle-sync/http.key\""]
            }
            (_, "cert" | "key") => &["#cert = \"/home/tentaclecert.pem\"", "#key = \"/home/tentaclekey.pem\""],
            (_, "group") => &["#[group.ships]"],
            _ => &[],
        };
        let chosen: Vec<&str> = chosen.into_iter().flatten().chain(beside.iter().copied()).collect();
        let mut text = uncommented(EXAMPLE, &chosen);
        if line.header != Some("#[tls]") {
            text = text.replace("\nca = ", "\n#ca = ");
        }
        if line.key == "pins" {
            text = text.replace("#verify = \"chain\"", "verify = \"pin\"");
        }
        read(&text);
    }
}

#[test]
fn the_defaults_the_example_shows_are_the_defaults() {
    let without_default = [
        "state_dir",
        "control_socket",
        "control_group",
        "agent",
        "password_file",
        "password_env",
        "password",
        "tls",
        "proxy",
        "remote_config",
    ];
    let chosen: Vec<&str> = example_lines(EXAMPLE)
        .into_iter()
        .filter(|line| {
            matches!(line.header, Some("[sync]" | "[defaults]" | "[monitor]")) && !without_default.contains(&line.key)
        })
        .map(|line| line.text)
        .collect();
    assert!(chosen.len() > 15);
    assert_eq!(read(&uncommented(EXAMPLE, &chosen)), read(EXAMPLE));
}
