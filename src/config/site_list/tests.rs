use super::super::load::parse_only;
use super::super::source::Env;
use super::*;

fn list(bytes: impl AsRef<[u8]>) -> Result<SiteList, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sites.csv");
    std::fs::write(&path, bytes).unwrap();
    let place = format!("{}/", directory.path().to_string_lossy());
    let strip = |text: &str| text.replace(&place, "");
    match read_site_list(&path) {
        Ok(SiteList { toml, sites, groups, warnings }) => {
            let warnings = warnings.iter().map(|line| strip(line)).collect();
            Ok(SiteList { toml: strip(&toml), sites, groups, warnings })
        }
        Err(error) => Err(strip(&error.to_string())),
    }
}

const WRITTEN: &str = r#"# Made of sites.csv by tentacle-syncd import.
# Its sites need these tables, here or in another file: [group.'Nord "See"'], [group.ships]

[[site]]
name = "Plant, 7"
address = "10.0.0.1"
group = "ships"
port = 4000

[[site]]
name = "10.0.0.2"
address = "10.0.0.2"
group = 'Nord "See"'

[[site]]
name = "::1"
address = "::1"
"#;

#[test]
fn a_list_is_read_as_every_spreadsheet_writes_it() {
    let list_of = |delimiter: &str, end: &str| {
        let lines = [
            ["Name", " ADDRESS", "port", "group"],
            ["\"Plant, 7\"", "10.0.0.1", "4000", "ships"],
            ["", "10.0.0.2 ", "", "\"Nord \"\"See\"\"\""],
            ["", "", "", ""],
            ["", "[::1]", "", ""],
        ];
        lines.map(|fields| fields.join(delimiter) + end).concat()
    };
    for delimiter in [",", ";", "\t"] {
        for end in ["\n", "\r\n", "\n\n"] {
            for mark in ["", "\u{feff}"] {
                let text = mark.to_owned() + &list_of(delimiter, end);
                let found = list(&text);
                let groups = vec![r#"[group.'Nord "See"']"#.to_owned(), "[group.ships]".to_owned()];
                let expected = SiteList { toml: WRITTEN.to_owned(), sites: 3, groups, warnings: Vec::new() };
                assert_eq!(found, Ok(expected), "{text:?}");
            }
        }
    }
}

#[test]
fn what_is_written_is_what_the_configuration_reads() {
    let groups = "[group.ships]\ninterval = 5\n[group.'Nord \"See\"']\n";
    let text = format!("{groups}{WRITTEN}");
    let sites = parse_only(text.as_bytes(), "/etc/t/sites.toml", Env::of_process()).unwrap().sites;
    let found: Vec<_> =
        sites.iter().map(|site| (&*site.name, &*site.address, site.port, site.group.as_deref())).collect();
    let expected = [
        ("Plant, 7", "10.0.0.1", 4000, Some("ships")),
        ("10.0.0.2", "10.0.0.2", 41121, Some("Nord \"See\"")),
        ("::1", "::1", 41121, None),
    ];
    assert_eq!(found, expected);
}

#[test]
fn each_bad_line_is_named() {
    let text = "name,address,port,group\r\n\r\na,10.0.0.1,0,\r\nb,10.0.0.300,,\r\nc,,,\r\nd,10.0.0.2,1\r\n\"e\r\ne\",10.0.0.3,,\r\n\
                f,10.0.0.4:99,,\r\ng,10.0.0.5,,g\u{7}\r\na,10.0.0.6,,\r\nh,10.0.0.6,41121,\r\n";
    let expected = [
        "3: port: expected a whole number from 1 to 65535, found \"0\"",
        "4: address: expected a host name or an address, found \"10.0.0.300\"",
        "5: address: there is none",
        "6: expected 4 fields, as the first line has, found 3",
        "7: name: expected a name of 1 to 128 bytes that can be printed, found \"e\\r\\ne\"",
        "9: address: expected a host name or an address, and its port as `port`, found \"10.0.0.4:99\"",
        "10: group: expected a name of 1 to 128 bytes that can be printed, found \"g\\u{7}\"",
        "11: name: \"a\" is the site of line 3 already; names are unique",
        "12: address: 10.0.0.6, port 41121 is the site of line 11 already",
    ];
    assert_eq!(list(text).unwrap_err(), expected.map(|error| format!("sites.csv:{error}")).join("\n"));
}

#[test]
fn columns_are_known_by_their_names() {
    let found = list("Remarks,address\nold,10.0.0.1\n").unwrap();
    assert_eq!(
        found.warnings,
        ["sites.csv:1: the column \"Remarks\" is not taken; known are name, address, port, group"]
    );
    assert!(found.toml.ends_with("\n[[site]]\nname = \"10.0.0.1\"\naddress = \"10.0.0.1\"\n"), "{}", found.toml);
    for (text, error) in [
        ("name,adress\na,b\n", "1: unknown column \"adress\"; did you mean \"address\"?"),
        ("address,Address\na,b\n", "1: the column \"address\" stands there twice"),
        (
            "10.0.0.1,10.0.0.2\n",
            "1: expected a line with the names of the columns, one of them address; such as name,address,port,group",
        ),
        ("address\n", " there is no site in it; it has a line with the names of its columns, and a line for each site"),
        ("", " there is no site in it; it has a line with the names of its columns, and a line for each site"),
    ] {
        let found = list(text).unwrap_err();
        assert!(found.lines().any(|line| line == format!("sites.csv:{error}")), "{text:?}: {found}");
    }
}

#[test]
fn what_is_no_text_is_said_so() {
    assert_eq!(
        list(b"name,address\nok,10.0.0.1\nK\xf6ln,10.0.0.2\n").unwrap_err(),
        "sites.csv:3: expected UTF-8, found other bytes; save the list as UTF-8"
    );
    let utf16: Vec<u8> = "\u{feff}name,address\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(list(utf16).unwrap_err().starts_with("sites.csv: the file is saved as UTF-16"));
    assert!(list("address\n10.0.0.1\0\n").unwrap_err().starts_with("sites.csv:2: there is a NUL byte"));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>) {
        drop(list(bytes));
    }

    /// What comes out of a list is a configuration.
    #[test]
    fn any_list_makes_sites_or_errors(text in "(name|address|port|group|,|;|\"|\n|a|1|\\.){0,40}") {
        if let Ok(SiteList { toml, sites, groups, .. }) = list(format!("name,address,port,group\n{text}")) {
            let tables = groups.join("\n");
            let read = parse_only(format!("{toml}\n{tables}\n").as_bytes(), "/etc/t/sites.toml", Env::of_process());
            proptest::prop_assert_eq!(read.map(|settings| settings.sites.len()), Ok(sites), "{}", toml);
        }
    }
}
