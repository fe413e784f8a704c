use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::super::files::{Fault, MAX_COLLECTION, MAX_CONFIGURATION};
use super::super::testing::Incoming;
use super::*;
use crate::proto::Md5Sum;
use crate::sync::remote_config::md5_text;

/// A scan of a directory of the test's own.
struct Scanned {
    incoming: Incoming,
    scan: Scan,
}

impl Scanned {
    fn new() -> Self {
        Self { incoming: Incoming::new(), scan: Scan::default() }
    }

    /// What there is by now, and why what does not fit does not.
    fn look(&mut self) -> (Centre, Vec<(Item, Unfit)>) {
        self.scan.look_at_all(&self.incoming.open()).unwrap();
        let unfit = self.scan.unfit(self.incoming.path());
        (self.scan.centre(), unfit.into_values().map(|pair| (pair.item, pair.why)).collect())
    }

    #[track_caller]
    fn assert_fits(&mut self, item: &Item, bytes: &[u8]) {
        let (centre, unfit) = self.look();
        assert_eq!((centre.items[item].current(), unfit), (Some(Md5Sum::of(bytes)), vec![]));
    }

    #[track_caller]
    fn assert_unfit(&mut self, item: &Item, why: Unfit) {
        let (centre, unfit) = self.look();
        assert_eq!((centre.items[item].current(), unfit), (None, vec![(item.clone(), why)]));
    }
}

#[test]
fn an_edit_in_two_writes_fits_before_it_and_after_it() {
    let mut scanned = Scanned::new();
    let item = scanned.incoming.put(1, b"agent_name web01\n");
    scanned.assert_fits(&item, b"agent_name web01\n");
    // Of the same size, within the same tick of the filesystem's clock.
    scanned.incoming.write_content(&item, b"agent_name web02\n");
    scanned.assert_unfit(&item, Unfit::OtherBytes);
    scanned.incoming.write_md5(&item, b"agent_name web02\n");
    scanned.assert_fits(&item, b"agent_name web02\n");
    let agent = scanned.look().0.items[&item].agent.clone();
    assert_eq!(agent.as_deref(), Some("web02"));
}

#[test]
fn what_does_not_fit_is_neither_there_nor_gone() {
    let mut scanned = Scanned::new();
    let item = scanned.incoming.put(1, b"one");
    scanned.look();
    scanned.incoming.write_content(&item, b"");
    scanned.assert_unfit(&item, Unfit::Empty);
    scanned.incoming.write_md5(&item, b"");
    scanned.assert_unfit(&item, Unfit::Empty);
    // As pandora_manage does.
    scanned.incoming.write_content(&item, b"two");
    scanned.assert_unfit(&item, Unfit::OtherBytes);
    fs::write(scanned.incoming.md5(&item), "no MD5").unwrap();
    scanned.assert_unfit(&item, Unfit::Md5(Fault::NoMd5));
    fs::write(scanned.incoming.md5(&item), [b' '; 4096]).unwrap();
    scanned.assert_unfit(&item, Unfit::Md5(Fault::NoMd5));
    fs::remove_file(scanned.incoming.md5(&item)).unwrap();
    scanned.assert_unfit(&item, Unfit::NoMd5);
    scanned.incoming.write_md5(&item, b"two");
    fs::remove_file(scanned.incoming.content(&item)).unwrap();
    scanned.assert_unfit(&item, Unfit::NoContent);
    fs::remove_file(scanned.incoming.md5(&item)).unwrap();
    assert_eq!(scanned.look(), (Centre::default(), vec![]));
}

#[test]
fn what_is_no_file_or_too_large_is_named_and_waited_for_by_nobody() {
    let mut scanned = Scanned::new();
    let item = scanned.incoming.put(1, b"one");
    let content = scanned.incoming.content(&item);
    let fault = |found| Unfit::Content(Fault::NotAFile(found));
    let elsewhere = scanned.incoming.path().join("elsewhere");
    fs::write(&elsewhere, "one").unwrap();
    fs::remove_file(&content).unwrap();
    mknodat(CWD, &content, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    scanned.assert_unfit(&item, fault("a FIFO"));
    fs::remove_file(&content).unwrap();
    symlink(&elsewhere, &content).unwrap();
    scanned.assert_unfit(&item, fault("a link"));
    fs::remove_file(&content).unwrap();
    fs::create_dir(&content).unwrap();
    scanned.assert_unfit(&item, fault("a directory"));
    fs::remove_dir(&content).unwrap();
    let listener = UnixListener::bind(&content).unwrap();
    scanned.assert_unfit(&item, fault("a FIFO or a socket"));
    drop(listener);
    fs::remove_file(&content).unwrap();
    fs::File::create(&content).unwrap().set_len(MAX_CONFIGURATION + 1).unwrap();
    scanned.assert_unfit(&item, Unfit::Content(Fault::TooLarge { most: MAX_CONFIGURATION }));
    scanned.incoming.write_content(&item, b"one");
    fs::remove_file(scanned.incoming.md5(&item)).unwrap();
    mknodat(CWD, scanned.incoming.md5(&item), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    scanned.assert_unfit(&item, Unfit::Md5(Fault::NotAFile("a FIFO")));
}

#[test]
fn collections_are_those_that_are_there_and_those_that_are_asked_for() {
    let mut scanned = Scanned::new();
    let incoming = &scanned.incoming;
    let [asked, unasked, other, large] = ["fc_1", "fc_2", "ref", "large"].map(|name| Item::collection(name).unwrap());
    incoming.write_md5(&other, b"of a command");
    incoming.write_md5(&asked, b"zip");
    for item in [&unasked, &large] {
        incoming.write_content(item, b"zip");
        incoming.write_md5(item, b"zip");
    }
    fs::create_dir(incoming.path().join("collections/fc_2")).unwrap();
    fs::OpenOptions::new().write(true).open(incoming.content(&large)).unwrap().set_len(MAX_COLLECTION + 1).unwrap();
    let too_large = (large.clone(), Unfit::Content(Fault::TooLarge { most: MAX_COLLECTION }));
    let (centre, unfit) = scanned.look();
    assert_eq!((centre.items.keys().collect::<Vec<_>>(), unfit), (vec![&unasked, &large], vec![too_large.clone()]));
    let configuration = scanned.incoming.put(1, b"file_collection fc_1\nfile_collection fc_9\n");
    let (centre, unfit) = scanned.look();
    assert_eq!(centre.items.keys().collect::<Vec<_>>(), [&configuration, &asked, &unasked, &large]);
    assert_eq!(unfit, [(asked.clone(), Unfit::NoContent), too_large.clone()]);
    assert_eq!(centre.items[&configuration].collections.len(), 2);
    scanned.incoming.write_content(&asked, b"zip");
    let (centre, unfit) = scanned.look();
    assert_eq!((centre.items[&asked].current(), unfit), (Some(Md5Sum::of(b"zip")), vec![too_large]));
    fs::remove_dir_all(scanned.incoming.path().join("collections")).unwrap();
    assert_eq!(scanned.look().1, [(asked, Unfit::NoContent)]);
}

#[test]
fn a_change_of_a_configuration_looks_at_what_it_asks_for() {
    let mut scanned = Scanned::new();
    let collection = Item::collection("fc_1").unwrap();
    let configuration = scanned.incoming.put(1, b"agent_name a\n");
    scanned.incoming.write_md5(&collection, b"zip");
    scanned.look();
    scanned.incoming.put(1, b"file_collection fc_1\n");
    scanned.scan.look_at(&scanned.incoming.open(), &BTreeSet::from([configuration.clone()]));
    assert_eq!(scanned.scan.centre().items.keys().collect::<Vec<_>>(), [&configuration, &collection]);
}

#[test]
fn other_files_are_none_of_ours() {
    let mut scanned = Scanned::new();
    let path = scanned.incoming.path();
    fs::write(path.join("conf/pandora_ha_hosts.conf"), "dbhost 10.0.0.1").unwrap();
    fs::write(path.join("md5/pandora_ha_hosts.md5"), md5_text([1; 16])).unwrap();
    fs::write(path.join("conf/.0123456789abcdef0123456789abcdef.conf.tentacle-sync"), "x").unwrap();
    assert_eq!(scanned.look(), (Centre::default(), vec![]));
}

#[test]
fn thousands_of_pairs_are_looked_at() {
    let mut scanned = Scanned::new();
    let items: Vec<Item> =
        (0..2_000).map(|number| scanned.incoming.put(number, format!("agent_name a{number}\n").as_bytes())).collect();
    let (centre, unfit) = scanned.look();
    assert_eq!((centre.items.len(), unfit), (2_000, vec![]));
    assert!(items.iter().all(|item| centre.items[item].current().is_some()));
    fs::remove_file(scanned.incoming.content(&items[7])).unwrap();
    fs::remove_file(scanned.incoming.md5(&items[7])).unwrap();
    assert_eq!(scanned.look().0.items.len(), 1_999);
}
