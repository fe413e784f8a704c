use proptest::prelude::*;
use proptest::sample::select;
use std::path::PathBuf;
use std::time::Duration;

use super::super::load::parse_only;
use super::super::source::Env;
use super::*;
use crate::config::ProxySettings;
use crate::proto::Secret;
use crate::sync::{Delivery, Patterns};
use crate::tls::{ClientCertPolicy, IdentitySettings, TlsSettings, Verify};

fn settings(sites: Vec<SiteSettings>) -> Settings {
    Settings { state_dir: Some("/root/.local/state/tentacle-sync".into()), ..Settings::of_sites(sites) }
}

fn tls() -> TlsSettings {
    TlsSettings {
        ca: Some("/home/cacert.pem".into()),
        identity: Some(IdentitySettings {
            cert: "/home/cert.pem".into(),
            key: "/home/key.pem".into(),
            passphrase: None,
        }),
        verify: Verify::Chain,
        offer: ClientCertPolicy::Auto,
    }
}

fn read_back(text: &str) -> Vec<SiteSettings> {
    parse_only(text.as_bytes(), "/etc/a.toml", Env::of_process())
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
        .sites
}

#[test]
fn what_sites_share_is_said_once() {
    let site = |address: &str| SiteSettings { tls: Some(tls()), retries: 5, ..SiteSettings::new(address, address) };
    let odd = SiteSettings { retries: 3, tls: None, ..site("10.0.0.3") };
    let text = to_toml(&settings(vec![site("10.0.0.1"), site("10.0.0.2"), odd]));
    let expected = r#"
[sync]
#state_dir = "/var/lib/tentacle-sync"

[tls]
ca = "/home/cacert.pem"
cert = "/home/cert.pem"
key = "/home/key.pem"
verify = "chain"

[defaults]
retries = 5

[[site]]
name = "10.0.0.1"
address = "10.0.0.1"

[[site]]
name = "10.0.0.2"
address = "10.0.0.2"

[[site]]
name = "10.0.0.3"
address = "10.0.0.3"
retries = 3
tls = false
"#;
    assert_eq!(text, format!("{HEADER}{expected}"));
}

#[test]
fn what_a_group_shares_is_said_once() {
    let site = |name: &str, group: Option<&str>, interval| SiteSettings {
        group: group.map(str::to_owned),
        interval: Duration::from_secs(interval),
        ..SiteSettings::new(name, "10.0.0.1")
    };
    let ship = |name: &str, interval| site(name, Some("ships"), interval);
    let sites = vec![site("a", None, 30), site("b", None, 30), site("c", None, 30), ship("d", 300), ship("e", 300)];
    let text = to_toml(&settings([sites, vec![ship("f", 30)]].concat()));
    assert!(text.contains("\n[group.ships]\ninterval = \"5m\"\n\n[[site]]\nname = \"a\"\n"), "{text}");
    let end = "[[site]]\nname = \"e\"\naddress = \"10.0.0.1\"\ngroup = \"ships\"\n\n\
               [[site]]\nname = \"f\"\naddress = \"10.0.0.1\"\ngroup = \"ships\"\ninterval = \"30s\"\n";
    assert!(text.ends_with(end), "{text}");
}

#[test]
fn secrets_are_mentioned_and_not_told() {
    let secret = || Secret::new(b"hunter2".to_vec());
    let mut site = SiteSettings::new("plant", "10.0.0.1");
    site.password = Some(secret());
    site.proxy =
        Some(ProxySettings { host: "proxy".to_owned(), port: 3128, credentials: Some(("me".to_owned(), secret())) });
    let mut tls = tls();
    tls.identity.as_mut().unwrap().passphrase = Some(secret());
    site.tls = Some(tls);
    let text = to_toml(&settings(vec![site]));
    assert!(!text.contains("hunter2"));
    for mention in
        ["# This site has a password", "# Our user name at the proxy is \"me\"", "# The key has a passphrase"]
    {
        assert!(text.contains(mention), "{mention} in {text}");
    }
    assert_eq!(read_back(&text).len(), 1);
}

#[test]
fn what_toml_cannot_hold_is_mentioned() {
    use std::os::unix::ffi::OsStringExt;
    let mut site = SiteSettings::new("plant", "10.0.0.1");
    site.incoming_dir = PathBuf::from(std::ffi::OsString::from_vec(b"/spool/\xff\n[x]".to_vec()));
    let text = to_toml(&settings(vec![site]));
    assert!(text.contains("# This path is no UTF-8 and cannot be written here: \"/spool/�\\n[x]\"\n"), "{text}");
    assert_eq!(read_back(&text).len(), 1);
}

fn any_path() -> impl Strategy<Value = PathBuf> {
    // Quotes, escapes and letters beyond ASCII included, NUL not.
    "/[^/\0]{1,12}".prop_map(PathBuf::from)
}

fn any_tls() -> impl Strategy<Value = TlsSettings> {
    let verify = prop_oneof![
        Just(Verify::Chain),
        Just(Verify::ChainAndName),
        Just(Verify::None),
        prop::collection::vec(any::<[u8; 32]>(), 1..3).prop_map(Verify::Pin),
    ];
    let identity = (any_path(), any_path()).prop_map(|(cert, key)| IdentitySettings { cert, key, passphrase: None });
    let offer = select(vec![ClientCertPolicy::Auto, ClientCertPolicy::Always, ClientCertPolicy::Never]);
    (prop::option::of(any_path()), prop::option::of(identity), verify, offer).prop_map(
        |(ca, identity, verify, offer)| TlsSettings {
            ca: ca.or_else(|| matches!(verify, Verify::Chain | Verify::ChainAndName).then(|| "/ca".into())),
            identity,
            verify,
            offer,
        },
    )
}

fn patterns(patterns: &[&str]) -> Patterns {
    Patterns::new(patterns).unwrap()
}

fn any_site() -> impl Strategy<Value = SiteSettings> {
    let times = (1..100_000u64, 1..100_000u64, 1000..100_000u64, 0..10_000u64);
    let numbers = (1..=u16::MAX, 0..1000u32, 1..=64usize, 1..u64::MAX, any::<u64>());
    let proxy = prop::option::of((1..=u16::MAX).prop_map(|port| ProxySettings {
        host: "2001:db8::1".to_owned(),
        port,
        credentials: None,
    }));
    let rest = (any::<[bool; 3]>(), any_path(), prop::option::of(any_tls()), proxy);
    (times, numbers, rest).prop_map(|(times, numbers, (flags, incoming_dir, tls, proxy))| SiteSettings {
        enabled: flags[0],
        quickack: flags[1],
        delivery: if flags[2] { Delivery::Safe } else { Delivery::Move },
        interval: Duration::from_secs(times.0),
        timeout: Duration::from_secs(times.1),
        round_limit: Duration::from_millis(times.2),
        keep_open: Duration::from_millis(times.3),
        port: numbers.0,
        retries: numbers.1,
        connections: numbers.2,
        max_file_size: numbers.3,
        min_rate: numbers.4,
        incoming_dir,
        include: if flags[0] { patterns(&["*.data", "*.[xy]ml"]) } else { patterns(&["*.data"]) },
        exclude: if flags[1] { patterns(&["te\"st*"]) } else { Patterns::default() },
        tls,
        proxy,
        remote_config: flags[0].then_some(flags[1]),
        group: flags[2].then(|| if flags[1] { "Nord \"See\"".to_owned() } else { "ships".to_owned() }),
        ..SiteSettings::new("", "")
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(mut sites in prop::collection::vec(any_site(), 1..4), same_tls: bool) {
        for (index, name) in ["Süd \"1\"", "::1", "a'b\\c", "x"].into_iter().enumerate().take(sites.len()) {
            name.clone_into(&mut sites[index].name);
            sites[index].address = format!("10.0.0.{index}");
            if same_tls && index > 0 {
                sites[index].tls = sites[0].tls.clone();
            }
        }
        let text = to_toml(&settings(sites.clone()));
        prop_assert_eq!(read_back(&text), sites, "{}", text);
    }
}
