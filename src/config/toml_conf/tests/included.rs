//! Groups, and sites in more files than one.

use super::super::super::error::Diagnostics;
use super::super::super::load::parse;
use super::super::super::settings::Settings;
use super::super::super::source::{FileText, Source};
use super::*;

/// What these files are, of which the first includes the others; or the errors.
fn read_files(files: &[(&str, &str)]) -> Result<Settings, String> {
    let text = |text: &str| FileText { bytes: text.as_bytes().to_vec(), world_readable: false };
    let files: Vec<(&Path, FileText)> = files.iter().map(|(path, bytes)| (Path::new(path), text(bytes))).collect();
    let sources: Vec<Source<'_>> = files.iter().map(|(path, text)| Source::new(path, text, ENVIRONMENT)).collect();
    parse(&sources, Diagnostics::default()).map_err(|error| error.to_string())
}

fn assert_refused(files: &[(&str, &str)], errors: &[&str]) {
    match read_files(files) {
        Err(found) => assert_eq!(found, errors.join("\n")),
        Ok(_) => panic!("read without an error: {files:?}"),
    }
}

const MAIN: &str = "/etc/t/c.toml";

#[test]
fn a_site_goes_before_its_group_and_that_before_defaults() {
    let above = "[sync]\ndelivery = \"move\"\n[defaults]\ninterval = 10\ntimeout = 11\nretries = 12\npassword_file = \"pw\"\n\
                 [group.ships]\ntimeout = 21\nretries = 22\ndelivery = \"safe\"\npassword_env = \"SITE_PASSWORD\"\n";
    let of = |own: &str| site(&format!("{above}[[site]]\naddress = \"a\"\n{own}"));
    let seconds = |site: &SiteSettings| (site.interval.as_secs(), site.timeout.as_secs(), site.retries);
    let without = of("");
    assert_eq!((seconds(&without), without.delivery, without.group), ((10, 11, 12), Delivery::Move, None));
    let with = of("group = \"ships\"\nretries = 32\n");
    assert_eq!((seconds(&with), with.delivery, with.group.as_deref()), ((10, 21, 32), Delivery::Safe, Some("ships")));
    assert_eq!(
        (without.password.unwrap().expose(), with.password.unwrap().expose()),
        (&b"from-file"[..], &b"from-env"[..])
    );
}

#[test]
fn tls_of_a_group_stands_between_that_of_a_site_and_that_of_all() {
    let above = "[tls]\nca = \"/ca\"\n[group.named.tls]\nverify = \"chain+name\"\n[group.plain]\ntls = false\n";
    let of = |own: &str| site(&format!("{above}[[site]]\naddress = \"a\"\n{own}")).tls.map(|tls| (tls.ca, tls.verify));
    let ca = |path: &str| Some(path.into());
    assert_eq!(of(""), Some((ca("/ca"), Verify::Chain)));
    assert_eq!(of("group = \"named\""), Some((ca("/ca"), Verify::ChainAndName)));
    assert_eq!(of("group = \"named\"\ntls.ca = \"/own\""), Some((ca("/own"), Verify::ChainAndName)));
    assert_eq!(of("group = \"plain\""), None);
    assert_eq!(of("group = \"plain\"\ntls = {}"), Some((ca("/ca"), Verify::Chain)));
}

#[test]
fn a_group_that_is_none_is_refused_with_the_one_that_is_meant() {
    let site = |group: &str| format!("[[site]]\naddress = \"a\"\ngroup = \"{group}\"\n");
    let groups = "[group.plants]\n[group.ships]\n";
    for (text, error) in [
        (groups.to_owned() + &site("shps"), "5: group: no group is named \"shps\"; did you mean \"ships\"?"),
        (groups.to_owned() + &site("towers"), "5: group: no group is named \"towers\"; there are: plants, ships"),
        (site("ships"), "3: group: no group is named \"ships\"; there is none: write [group.ships]"),
        (site(""), "3: group: expected a name of 1 to 128 bytes that can be printed, found \"\""),
    ] {
        assert_refused(&[(MAIN, &text)], &[&format!("{MAIN}:{error}")]);
    }
}

#[test]
fn what_a_group_says_is_looked_at_also_where_no_site_is_of_it() {
    let text = "[group.ships]\nintervall = 1\nname = \"x\"\nport = 0\n[group.\" x\"]\n[[site]]\naddress = \"a\"\n";
    assert_refused(
        &[(MAIN, text)],
        &[
            "/etc/t/c.toml:2: unknown key \"intervall\" in [group.NAME]; did you mean \"interval\"?",
            "/etc/t/c.toml:3: unknown key \"name\" in [group.NAME]; it belongs in [[site]]",
            "/etc/t/c.toml:4: port: expected a whole number from 1 to 65535, found 0",
            "/etc/t/c.toml:5: [group.NAME]: expected a name of 1 to 128 bytes that can be printed, found \" x\"",
        ],
    );
    for text in ["group = 1", "[[group]]\nname = \"ships\"", "group.ships = 1"] {
        let error = read_files(&[(MAIN, &format!("{text}\n[[site]]\naddress = \"a\"\n"))]).unwrap_err();
        assert!(error.contains("expected a table, found"), "{error}");
    }
}

#[test]
fn what_a_group_says_of_tls_is_looked_at_also_where_no_site_is_of_it() {
    let site = "[[site]]\naddress = \"a\"\n";
    let group = "[group.ships.tls]\nverify = \"chian\"\npins = [\"12\"]\noffer_client_cert = 1\nca = 2\ncret = \"x\"\n";
    let values = [
        "2: verify: expected \"chain\" or \"chain+name\" or \"pin\" or \"none\", found \"chian\"",
        "3: pins: expected a list of SHA-256 fingerprints: 64 hexadecimal digits each, with or without colons, found a list",
        "4: offer_client_cert: expected true, false or \"auto\", found 1",
        "5: ca: expected a path in quotes, found 2",
        "6: unknown key \"cret\" in [tls]; did you mean \"cert\"?",
    ];
    let of = |file: &str| values.map(|error| format!("{file}:{error}"));
    assert_refused(&[(MAIN, site), ("/i.toml", group)], &of("/i.toml").each_ref().map(String::as_str));
    // So too of what all sites of a file override.
    for table in ["tls", "defaults.tls"] {
        let text = format!("{}[[site]]\naddress = \"a\"\ntls = false\n", group.replace("group.ships.tls", table));
        assert_refused(&[(MAIN, &text)], &of(MAIN).each_ref().map(String::as_str));
    }
    assert_refused(
        &[(MAIN, &format!("[group.ships]\ntls = true\n{site}"))],
        &["/etc/t/c.toml:2: tls: expected a table like [tls], or false for none; found true"],
    );
    // What is missing each site of the group may have.
    for part in ["cert = \"c\"", "verify = \"pin\"", "verify = \"chain+name\"", "passphrase_env = \"NOT_SET\""] {
        let group = format!("[group.ships.tls]\n{part}\n");
        assert!(read_files(&[(MAIN, site), ("/i.toml", &group)]).is_ok(), "{part}");
    }
}

#[test]
fn sites_and_groups_may_stand_in_any_file_and_relative_paths_start_at_theirs() {
    let main = "[defaults]\nincoming_dir = \"in\"\n[[site]]\naddress = \"a\"\ngroup = \"ships\"\n";
    let groups = "[group.ships]\ntls = { ca = \"ca.pem\" }\n";
    let sites = "[[site]]\naddress = \"b\"\ngroup = \"ships\"\n[[site]]\naddress = \"c\"\nincoming_dir = \"own\"\n";
    let files = [(MAIN, main), ("/etc/t/sites.d/b.toml", sites), ("/opt/groups.toml", groups)];
    let sites = read_files(&files).unwrap().sites;
    let found: Vec<_> = sites
        .iter()
        .map(|site| {
            let ca = site.tls.as_ref().and_then(|tls| tls.ca.as_ref()?.to_str());
            (&*site.name, site.incoming_dir.to_str().unwrap(), ca)
        })
        .collect();
    assert_eq!(
        found,
        [
            ("a", "/etc/t/in", Some("/opt/ca.pem")),
            ("b", "/etc/t/in", Some("/opt/ca.pem")),
            ("c", "/etc/t/sites.d/own", None)
        ]
    );
}

#[test]
fn what_is_there_twice_is_named_with_both_files_and_lines() {
    let files = [
        (MAIN, "[group.ships]\n[[site]]\nname = \"plant\"\naddress = \"a\"\n"),
        ("/etc/t/sites.d/x.toml", "# X\n[[site]]\nname = \"plant\"\naddress = \"b\"\n[group.ships]\n"),
    ];
    assert_refused(
        &files,
        &[
            "/etc/t/sites.d/x.toml:2: site \"plant\": the name is taken by the site of /etc/t/c.toml:2; names are unique",
            "/etc/t/sites.d/x.toml:5: [group.ships]: the name is taken by the group of /etc/t/c.toml:1; names are unique",
        ],
    );
    let twice =
        [(MAIN, "[[site]]\nname = \"1\"\naddress = \"a\"\n"), ("/x.toml", "[[site]]\nname = \"2\"\naddress = \"a\"\n")];
    let warning = "/x.toml:1: site \"2\": a, port 41121 is collected by the site of /etc/t/c.toml:1 already";
    assert_eq!(read_files(&twice).unwrap().warnings, [warning]);
}

#[test]
fn an_included_file_has_groups_and_sites_alone() {
    let text = "include = [\"x.toml\"]\n[sync]\n[defaults]\n[tls]\n[sites]\n[[site]]\naddress = \"a\"\ncolour = 1\n";
    let known = Section::Site.keys().join(", ");
    let belongs = |line: usize, key: &str| {
        format!("/i.toml:{line}: {key:?} in an included file; it belongs in the file that includes this one")
    };
    let errors = [
        belongs(1, "include"),
        belongs(2, "sync"),
        belongs(3, "defaults"),
        belongs(4, "tls"),
        "/i.toml:5: unknown key \"sites\" in an included file; did you mean \"site\"?".to_owned(),
        format!("/i.toml:8: unknown key \"colour\" in [[site]]; known are {known}"),
    ];
    assert_refused(&[(MAIN, ""), ("/i.toml", text)], &errors.each_ref().map(String::as_str));
}

#[test]
fn what_is_no_toml_is_reported_of_every_file_and_nothing_that_follows_from_it() {
    let site = "[[site]]\naddress = \"a\"\ngroup = \"ships\"\n";
    assert_refused(
        &[(MAIN, site), ("/1.toml", "[group.ships\n"), ("/2.toml", "sync_address 10.0.0.1\n"), ("/3.toml", "a\0b")],
        &[
            "/2.toml: this looks like a pandora_server.conf (`token value`, without `=`), and its name ends in .toml: name it \
             *.conf, or make TOML of it with `tentacle-syncd import`",
            "/3.toml:1: there is a NUL byte in this line: the file is damaged, or no text file",
        ],
    );
    let error =
        read_files(&[(MAIN, site), ("/1.toml", "[group.ships\n"), ("/2.toml", "[[site]]\nname = x\n")]).unwrap_err();
    assert!(
        error.starts_with("/1.toml:1: ") && error.contains("\n/2.toml:2: ") && !error.contains("no group"),
        "{error}"
    );
}

#[test]
fn a_configuration_without_a_site_is_warned_of() {
    let add = "add one: [[site]] with name and address, here or in a file of its own, sites.d/*.toml";
    let of = |files: &[(&str, &str)]| {
        let settings = read_files(files).unwrap();
        (settings.sites.len(), settings.warnings)
    };
    let warning = |place: &str| format!("{place}: no site is configured, so nothing is collected; {add}");
    assert_eq!(of(&[(MAIN, "[sync]\n"), ("/i.toml", "# Nothing yet\n")]), (0, vec![warning(MAIN)]));
    assert_eq!(of(&[(MAIN, "# Sites are in sites.d\n")]), (0, vec![warning(MAIN)]));
    assert_eq!(of(&[(MAIN, "[sync]\n"), ("/i.toml", "\nsite = []\n")]), (0, vec![warning("/i.toml:2")]));
    assert_eq!(of(&[(MAIN, ""), ("/i.toml", "[[site]]\naddress = \"a\"\n")]), (1, Vec::new()));
    // One that was cut off has as little.
    assert_refused(
        &[(MAIN, " \n"), ("/i.toml", "# Nothing yet\n")],
        &[&format!("{MAIN}: there is nothing in the file, and no site; {add}")],
    );
}

#[test]
fn a_path_among_patterns_for_names_is_warned_of() {
    let (_, warnings) = read("[[site]]\naddress = \"a\"\ninclude = [\"sites.d/*.toml\"]\n").unwrap();
    let warning = "include: \"sites.d/*.toml\" matches nothing, as no file's name at a site has a slash; what names files of \
                   the configuration stands above all tables";
    assert_eq!(warnings, [format!("/etc/t/c.toml:3: {warning}")]);
}
