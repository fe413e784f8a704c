mod included;
mod refused;

use std::io;
use std::path::Path;
use std::time::Duration;

use super::super::load::parse_only;
use super::super::settings::{ProxySettings, SiteSettings};
use super::super::source::{Env, SecretFile};
use super::schema::Section;
use crate::proto::Secret;
use crate::sync::{Delivery, Patterns};
use crate::tls::{ClientCertPolicy, IdentitySettings, TlsSettings, Verify};

/// `SITE_PASSWORD` is set; `/etc/t/pw` can be read, `/etc/t/empty` is.
const ENVIRONMENT: Env = Env {
    var: |name| (name == "SITE_PASSWORD").then(|| "from-env".into()),
    read_secret: |path| match path.to_str() {
        Some("/etc/t/pw") => Ok(SecretFile { bytes: b"from-file\n".to_vec(), world_readable: false }),
        Some("/etc/t/empty") => Ok(SecretFile { bytes: b"\n".to_vec(), world_readable: false }),
        Some("/etc/t/secret") => Err(io::ErrorKind::PermissionDenied.into()),
        _ => Err(io::ErrorKind::NotFound.into()),
    },
    can_keep_state_in: |_| false,
};

/// The sites and the warnings of a file, or its errors.
fn read(text: &str) -> Result<(Vec<SiteSettings>, Vec<String>), String> {
    let settings = parse_only(text.as_bytes(), "/etc/t/c.toml", ENVIRONMENT).map_err(|error| error.to_string())?;
    Ok((settings.sites, settings.warnings))
}

/// The only site of a file whose last table it is.
fn site(text: &str) -> SiteSettings {
    let (mut sites, warnings) = read(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!((sites.len(), warnings), (1, Vec::new()), "{text}");
    sites.remove(0)
}

#[test]
fn an_address_is_enough() {
    assert_eq!(site("[[site]]\naddress = \"10.0.0.1\"\n"), SiteSettings::new("10.0.0.1", "10.0.0.1"));
    assert_eq!(site("site = [{ address = \"[::1]\" }]"), SiteSettings::new("::1", "::1"));
}

#[test]
fn what_is_said_of_a_site_arrives() {
    let text = r#"
        [[site]]
        name = "Plant 7"
        address = "Plant7.example.org"
        enabled = false
        port = 4000
        interval = "1m30s"
        timeout = 5
        retries = 0
        connections = 64
        password_file = "pw"
        tls = { ca = "ca.pem", verify = "chain+name" }
        proxy = "http://me:p%40ss:word@proxy:3128/"
        incoming_dir = "in"
        include = ["*.xml", "*.data"]
        exclude = ["test*"]
        delivery = "move"
        max_file_size = "2MB"
        min_rate = 0
        round_limit = "1h"
        keep_open = 0
        quickack = false
    "#;
    let expected = SiteSettings {
        enabled: false,
        port: 4000,
        interval: Duration::from_secs(90),
        timeout: Duration::from_secs(5),
        retries: 0,
        connections: 64,
        password: Some(Secret::new(b"from-file".to_vec())),
        tls: Some(TlsSettings {
            ca: Some("/etc/t/ca.pem".into()),
            identity: None,
            verify: Verify::ChainAndName,
            offer: ClientCertPolicy::Auto,
        }),
        proxy: Some(ProxySettings {
            host: "proxy".to_owned(),
            port: 3128,
            credentials: Some(("me".to_owned(), Secret::new(b"p@ss:word".to_vec()))),
        }),
        incoming_dir: "/etc/t/in".into(),
        include: Patterns::new(&["*.xml", "*.data"]).unwrap(),
        exclude: Patterns::new(&["test*"]).unwrap(),
        delivery: Delivery::Move,
        max_file_size: 2_000_000,
        min_rate: 0,
        round_limit: Duration::from_secs(3600),
        keep_open: Duration::ZERO,
        quickack: false,
        ..SiteSettings::new("Plant 7", "plant7.example.org")
    };
    assert_eq!(site(text), expected);
}

#[test]
fn a_site_goes_before_defaults_and_those_before_sync() {
    let above = "[sync]\nincoming_dir = \"/sync\"\ndelivery = \"move\"\n[defaults]\nincoming_dir = \"/defaults\"\nretries = 1\n";
    let inherits = site(&format!("{above}[[site]]\naddress = \"a\"\n"));
    assert_eq!(inherits.incoming_dir, Path::new("/defaults"));
    assert_eq!((inherits.delivery, inherits.retries), (Delivery::Move, 1));
    let says =
        site(&format!("{above}[[site]]\naddress = \"a\"\nincoming_dir = \"/own\"\nretries = 2\ndelivery = \"safe\"\n"));
    assert_eq!(says.incoming_dir, Path::new("/own"));
    assert_eq!((says.delivery, says.retries), (Delivery::Safe, 2));
}

#[test]
fn a_sites_password_goes_before_the_default_one_however_it_is_given() {
    let defaults = "[defaults]\npassword_file = \"pw\"\nproxy = \"http://p:1\"\n[[site]]\naddress = \"a\"\n";
    let password = |lines: &str| site(&format!("{defaults}{lines}")).password.unwrap();
    assert_eq!(password("").expose(), b"from-file");
    assert_eq!(password("password_env = \"SITE_PASSWORD\"\n").expose(), b"from-env");
    assert_eq!(password("password = \"spelt out\"\n").expose(), b"spelt out");
    assert_eq!(site(&format!("{defaults}proxy = false\n")).proxy, None);
}

const TLS: &str = "[tls]\nca = \"/ca\"\ncert = \"/c\"\nkey = \"/k\"\npassphrase_env = \"SITE_PASSWORD\"\n";

#[test]
fn tls_is_overridden_key_by_key() {
    let tls = |lines: &str| site(&format!("{TLS}[[site]]\naddress = \"a\"\n{lines}\n")).tls;
    let base = TlsSettings {
        ca: Some("/ca".into()),
        identity: Some(IdentitySettings {
            cert: "/c".into(),
            key: "/k".into(),
            passphrase: Some(Secret::new(b"from-env".to_vec())),
        }),
        verify: Verify::Chain,
        offer: ClientCertPolicy::Auto,
    };
    assert_eq!(tls(""), Some(base.clone()));
    assert_eq!(tls("tls = false"), None);
    assert_eq!(tls("tls = {}"), Some(base.clone()));
    assert_eq!(tls("tls = { ca = \"/other\" }"), Some(TlsSettings { ca: Some("/other".into()), ..base.clone() }));
    assert_eq!(
        tls("tls.offer_client_cert = false"),
        Some(TlsSettings { offer: ClientCertPolicy::Never, ..base.clone() })
    );
    assert_eq!(
        tls("tls.offer_client_cert = true"),
        Some(TlsSettings { offer: ClientCertPolicy::Always, ..base.clone() })
    );
    let pin = "00:11:22:33:44:55:66:77:88:99:AA:bb:cc:dd:ee:ff".to_owned() + &"01".repeat(16);
    let mut bytes = [1; 32];
    bytes[..16].copy_from_slice(&[
        0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
    ]);
    let pinned = tls(&format!("tls = {{ verify = \"pin\", pins = [\"{pin}\"] }}"));
    assert_eq!(pinned, Some(TlsSettings { verify: Verify::Pin(vec![bytes]), ..base }));
}

#[test]
fn the_nearest_table_turns_tls_on_or_off() {
    let is_on = |defaults: &str, own: &str| {
        site(&format!("{TLS}[defaults]\n{defaults}\n[[site]]\naddress = \"a\"\n{own}\n")).tls.is_some()
    };
    assert!(is_on("", ""));
    assert!(!is_on("tls = false", ""));
    assert!(is_on("tls = false", "tls = {}"));
    assert!(!is_on("tls = {}", "tls = false"));
    assert_eq!(site("[[site]]\naddress = \"a\"\n").tls, None);
    assert!(site("[defaults.tls]\nca = \"/ca\"\n[[site]]\naddress = \"a\"\n").tls.is_some());
}

#[test]
fn inherited_pins_are_no_error_for_a_site_that_checks_otherwise() {
    let pin = "0".repeat(64);
    let text = format!(
        "[tls]\nca = \"/ca\"\nverify = \"pin\"\npins = [\"{pin}\"]\n[[site]]\naddress = \"a\"\ntls.verify = \"chain\"\n"
    );
    assert_eq!(site(&text).tls.unwrap().verify, Verify::Chain);
}

#[test]
fn checking_nothing_is_warned_of_once_where_it_is_said() {
    let text = "[tls]\nverify = \"none\"\n[[site]]\naddress = \"a\"\n[[site]]\naddress = \"b\"\n";
    let warning =
        "verify = \"none\": the site's certificate is not checked, and anyone on the way can pose as the site";
    assert_eq!(read(text).unwrap().1, [format!("/etc/t/c.toml:2: {warning}")]);
}

#[test]
fn a_site_that_includes_nothing_is_warned_of() {
    let text = "[[site]]\naddress = \"a\"\ninclude = []\n";
    let warning = "include: the list is empty, and no file is collected; leave it out, or set enabled = false";
    assert_eq!(read(text).unwrap().1, [format!("/etc/t/c.toml:3: {warning}")]);
    assert_eq!(read("[[site]]\naddress = \"a\"\nexclude = []\n").unwrap().1, [] as [&str; 0]);
}

#[test]
fn two_sites_of_one_address_are_warned_of() {
    let text = "[[site]]\nname = \"a\"\naddress = \"Host\"\n[[site]]\nname = \"b\"\naddress = \"host\"\n[[site]]\naddress = \"host\"\nport = 1\n";
    let warning = "site \"b\": host, port 41121 is collected by the site of line 1 already";
    assert_eq!(read(text).unwrap().1, [format!("/etc/t/c.toml:4: {warning}")]);
}

#[test]
fn a_byte_order_mark_and_dos_line_ends_are_nothing_special() {
    assert_eq!(site("\u{feff}[[site]]\r\naddress = \"a\"\r\n"), SiteSettings::new("a", "a"));
}

#[test]
fn a_secret_that_cannot_be_read_is_its_sites_problem_alone() {
    let tls = "tls = { ca = \"/ca\", cert = \"/cert\", key = \"/key\", passphrase_file = \"empty\" }";
    let proxy = "proxy = { host = \"h\", port = 1, user = \"u\", password_file = \"secret\" }";
    let text = format!(
        "[[site]]\naddress = \"a\"\npassword_file = \"none\"\n{tls}\n{proxy}\n\
         [[site]]\naddress = \"b\"\npassword_file = \"pw\"\n"
    );
    let (sites, _) = read(&text).unwrap();
    let reported: Vec<String> = sites[0].unread_secrets.iter().map(ToString::to_string).collect();
    assert_eq!(
        reported,
        [
            "password_file (/etc/t/c.toml:3): cannot read /etc/t/none: no such file",
            "password_file (/etc/t/c.toml:5): cannot read /etc/t/secret: permission denied",
            "passphrase_file (/etc/t/c.toml:4): /etc/t/empty is empty",
        ]
    );
    assert_eq!((&sites[1].unread_secrets, sites[1].password.is_some()), (&Vec::new(), true));
}

#[test]
fn secrets_go_where_they_belong_once_they_can_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (password, passphrase, of_proxy) = (path("password"), path("passphrase"), path("of_proxy"));
    let text = format!(
        "[[site]]\naddress = \"a\"\npassword_file = {password:?}\n\
         tls = {{ ca = \"/ca\", cert = \"/cert\", key = \"/key\", passphrase_file = {passphrase:?} }}\n\
         proxy = {{ host = \"h\", port = 1, user = \"u\", password_file = {of_proxy:?} }}\n"
    );
    let mut site = site(&text);
    assert!(site.read_secrets().is_err());
    for name in ["password", "passphrase", "of_proxy"] {
        std::fs::write(path(name), format!("{name}\n")).unwrap();
    }
    site.read_secrets().unwrap();
    let secret = |text: &str| Secret::new(text.as_bytes().to_vec());
    assert_eq!(site.password, Some(secret("password")));
    assert_eq!(site.tls.unwrap().identity.unwrap().passphrase, Some(secret("passphrase")));
    assert_eq!(site.proxy.unwrap().credentials, Some(("u".to_owned(), secret("of_proxy"))));
}
