use std::os::unix::fs::{PermissionsExt, symlink};

use tempfile::TempDir;

use super::super::load::{LoadOptions, files_of, load};
use super::super::settings::Settings;
use super::super::source::Env;
use super::*;

/// A directory with a configuration and what it may include.
struct Tree(TempDir);

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            tree.write(name, text);
        }
        tree
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join("etc").join(name)
    }

    fn write(&self, name: impl AsRef<Path>, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn load(&self) -> Result<Settings, String> {
        let environment = Env { can_keep_state_in: |_| true, ..Env::of_process() };
        let loaded = load(&self.path("c.toml"), &LoadOptions { environment, ..LoadOptions::default() });
        let place = format!("{}/", self.path("").to_string_lossy().trim_end_matches('/'));
        loaded.map_err(|error| error.to_string().replace(&place, ""))
    }

    /// The names of the sites, in their order.
    fn sites(&self) -> Vec<String> {
        let settings = self.load().unwrap();
        let read: Vec<PathBuf> = settings.files.into_iter().map(|file| file.path).collect();
        assert_eq!(read, files_of(&self.path("c.toml")));
        settings.sites.into_iter().map(|site| site.name).collect()
    }
}

fn site(name: &str) -> String {
    format!("[[site]]\nname = \"{name}\"\naddress = \"{name}.example\"\n")
}

#[test]
fn sites_lie_beside_the_file_in_the_order_of_their_names_where_nothing_else_is_said() {
    let tree = Tree::new(&[("c.toml", &site("main"))]);
    assert_eq!(tree.sites(), ["main"], "without the directory");
    for name in ["20-b.toml", "10-c.toml", "a.toml"] {
        tree.write(Path::new("sites.d").join(name), site(name));
    }
    assert_eq!(tree.sites(), ["main", "10-c.toml", "20-b.toml", "a.toml"]);
    // What editors, packages and administrators leave there.
    for name in
        [".a.toml.swp", ".#a.toml", ".hidden.toml", "a.toml~", "#a.toml#", "a.toml.bak", "a.toml.rpmnew", "README"]
    {
        tree.write(Path::new("sites.d").join(name), "[[site]]\n");
    }
    tree.write("sites.d/deeper/x.toml", "[[site]]\n");
    assert_eq!(tree.sites().len(), 4);
}

#[test]
fn what_is_said_takes_the_place_of_the_usual() {
    let tree = Tree::new(&[
        ("sites.d/usual.toml", &site("usual")),
        ("one.toml", &site("one")),
        ("plants/[1].toml", &site("brackets")),
        ("plants/2.toml", &site("two")),
        ("../beside/3.toml", &site("three")),
    ]);
    let including = |include: &str| {
        tree.write("c.toml", format!("\u{feff}include = {include}\r\n{}", site("main").replace('\n', "\r\n")));
        tree.sites()
    };
    assert_eq!(including("[]"), ["main"]);
    assert_eq!(including("[\"one.toml\"]"), ["main", "one"]);
    assert_eq!(including("[\"plants/?.toml\", \"one.toml\", \"plants/*.toml\"]"), ["main", "two", "one", "brackets"]);
    assert_eq!(including("[\"../beside/*.toml\", \"./one.toml\"]"), ["main", "three", "one"]);
    assert_eq!(including("[\"plants/[[]1].toml\"]"), ["main", "brackets"]);
    // Not the file itself.
    assert_eq!(including("[\"*.toml\"]"), ["main", "one"]);
    let absolute = tree.path("sites.d/*.toml");
    assert_eq!(including(&format!("[\n{absolute:?},\n]")), ["main", "usual"]);
}

#[test]
fn what_cannot_be_included_is_named_with_the_line_that_includes_it() {
    let tree = Tree::new(&[("c.toml", ""), ("file", "")]);
    symlink("nowhere", tree.path("dangling.toml")).unwrap();
    fs::create_dir(tree.path("directory.toml")).unwrap();
    for (include, error) in [
        ("3", "c.toml:2: include: expected a list of paths and patterns such as [\"sites.d/*.toml\"], found 3"),
        ("[\"*.conf\"]", "c.toml:2: include: expected a path or a pattern that ends in .toml, found \"*.conf\""),
        (
            "[\n\"\\u0000.toml\"]",
            "c.toml:3: include: expected a path or a pattern that ends in .toml, found \"\\0.toml\"",
        ),
        (
            "[\"*/a.toml\"]",
            "c.toml:2: include: expected wildcards in the last part of the path alone, found \"*/a.toml\"",
        ),
        ("[\"[.toml\"]", "c.toml:2: include: \"[.toml\" is no pattern: unclosed character class; missing ']'"),
        ("[\"none/*.toml\"]", "c.toml:2: include: cannot read the directory none: there is none"),
        ("[\"file/*.toml\"]", "c.toml:2: include: cannot read the directory file: it is none"),
        ("[\"c.toml\"]", "c.toml:2: include: \"c.toml\" is this file itself"),
        ("[\"none.toml\"]", "none.toml: cannot read it: no such file; write it, or leave it out of include"),
        ("[\"da*.toml\"]", "dangling.toml: cannot read it: no such file; the link leads nowhere: remove it"),
        ("[\"di*.toml\"]", "directory.toml: cannot read it: a directory, not a file; put a file there, or nothing"),
    ] {
        tree.write("c.toml", format!("\ninclude = {include}\n{}", site("main")));
        assert_eq!(tree.load().unwrap_err(), error, "{include}");
    }
}

#[test]
fn a_loop_of_links_ends() {
    let tree = Tree::new(&[("c.toml", &site("main")), ("sites.d/a.toml", &site("a"))]);
    symlink("../c.toml", tree.path("sites.d/main.toml")).unwrap();
    assert_eq!(tree.sites(), ["main", "a"], "the file itself by another name");
    symlink("../sites.d/a.toml", tree.path("sites.d/b.toml")).unwrap();
    let twice = "sites.d/b.toml:1: site \"a\": the name is taken by the site of sites.d/a.toml:1; names are unique";
    assert_eq!(tree.load().unwrap_err(), twice);
    fs::remove_file(tree.path("sites.d/b.toml")).unwrap();
    symlink("b.toml", tree.path("sites.d/b.toml")).unwrap();
    let error = tree.load().unwrap_err();
    assert!(error.starts_with("sites.d/b.toml: cannot read it: Too many levels of symbolic links"), "{error}");
    // A file that includes others is included by none.
    fs::remove_file(tree.path("sites.d/b.toml")).unwrap();
    tree.write("sites.d/b.toml", "include = [\"../c.toml\"]\n");
    let error = "sites.d/b.toml:1: \"include\" in an included file; it belongs in the file that includes this one";
    assert_eq!(tree.load().unwrap_err(), error);
}

#[test]
fn names_need_be_no_utf_8() {
    let tree = Tree::new(&[("c.toml", "")]);
    let name = |name: &[u8]| Path::new("sites.d").join(OsStr::from_bytes(name));
    tree.write(name(b"K\xf6ln.toml"), site("koeln"));
    assert_eq!(tree.sites(), ["koeln"]);
    tree.write(name(b"K\xf6ln.toml"), "[[site]]\n");
    let error = tree.load().unwrap_err();
    assert!(error.contains(r#"sites.d/K\xf6ln.toml":1: "#) && error.contains("address is missing"), "{error}");
}

#[test]
fn everyone_may_not_read_a_password_in_an_included_file_either() {
    let tree = Tree::new(&[("c.toml", ""), ("sites.d/a.toml", &(site("a") + "password = \"hunter2\"\n"))]);
    fs::set_permissions(tree.path("sites.d/a.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = tree.load().unwrap().warnings;
    assert!(
        matches!(&*warnings, [warning] if warning.contains("sites.d/a.toml:4: password: every user")),
        "{warnings:?}"
    );
    fs::set_permissions(tree.path("sites.d/a.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(tree.load().unwrap().warnings, Vec::<String>::new());
}

#[test]
fn what_has_changed_is_known_by_its_text() {
    let tree = Tree::new(&[("c.toml", ""), ("sites.d/a.toml", &site("a")), ("sites.d/b.toml", &site("b"))]);
    let before = tree.load().unwrap();
    tree.write("sites.d/a.toml", site("a"));
    tree.write("sites.d/b.toml", site("b") + "port = 1\n");
    tree.write("sites.d/c.toml", site("c"));
    let now = tree.load().unwrap();
    let new: Vec<&Path> = now.new_files(&before).collect();
    assert_eq!(new, [tree.path("sites.d/b.toml"), tree.path("sites.d/c.toml")]);
    assert_eq!((before.included(), now.included()), (2, 3));
}

#[test]
fn a_pandora_server_conf_includes_nothing() {
    let tree = Tree::new(&[("p.conf", "sync_address 10.0.0.1\n"), ("sites.d/a.toml", "[[site]]\n")]);
    assert_eq!(files_of(&tree.path("p.conf")), [tree.path("p.conf")]);
    let options = LoadOptions { state_dir: Some("/state".into()), ..LoadOptions::default() };
    assert_eq!(load(&tree.path("p.conf"), &options).unwrap().sites.len(), 1);
}
