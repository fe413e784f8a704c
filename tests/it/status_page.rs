//! The status page, in a browser.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde_json::{Value, json};
use tentacle_sync::testing::fake_server::{Fault, Setup, Verb, WrongSize};

use crate::browser::Browser;
use crate::control::{self, OFTEN};
use crate::daemon::{Daemon, Sandbox};
use crate::http::{configure, start};
use crate::server_process::free_address;
use crate::site::{Site, site_config};

/// Where to put a picture of the page, if anywhere.
const PICTURE: &str = "STATUS_PAGE_PICTURE";

/// A name that would be a page's part.
const HOSTILE: &str = "<b onmouseover='alert(1)'>plant & co</b>";

/// An answer that would be one, and would clear a terminal.
const HOSTILE_SIZE: &str = "<img src=x onerror=alert(1)>\u{1b}[2J";

const ESCAPE: &str = "\u{e00c}";
const ENTER: &str = "\u{e007}";
const DOWN: &str = "\u{e015}";
const UP: &str = "\u{e013}";

/// What is watched.
struct Watched {
    sandbox: Sandbox,
    daemon: Daemon,
    address: SocketAddr,
    _sites: Vec<Site>,
}

/// A site that lists 13 files, one of them old, and gives none: it says this in place of a size.
fn with_backlog(name: &str, announced: &'static str) -> Site {
    let site = Site::fake(name, 12, Setup::default());
    site.peer().put("late.1700000000.data", b"old").unwrap();
    site.peer().set_mischief(vec![Fault::WrongSize(WrongSize::Literally(announced)).at(Verb::Recv)]);
    site
}

/// `count` sites: one that works, `ship-1`, one with a backlog, `harbour`, one with a hostile name, which is dead, and others
/// that are.
fn watched(count: usize) -> Watched {
    let (ours, backlog) = (Site::ours("ship-1", 7), with_backlog("harbour", HOSTILE_SIZE));
    let dead = |number: usize| {
        let [.., high, low] = number.to_be_bytes();
        let address = SocketAddr::from((Ipv4Addr::new(127, 1, high, low), 9));
        site_config(&format!("far-{number}"), address, "interval = 86400")
    };
    let configured = [ours.config(OFTEN), backlog.config(OFTEN), site_config(HOSTILE, free_address(), OFTEN)];
    let sandbox = Sandbox::new();
    let address = configure(&sandbox, "", configured.into_iter().chain((3..count).map(dead)));
    let daemon = start(&sandbox, address);
    control::wait_for_site(&sandbox, "ship-1", |site| site["collected"]["files"] == 7);
    for name in ["harbour", HOSTILE] {
        control::wait_for_site(&sandbox, name, |site| site["is_failing"] == true);
    }
    Watched { sandbox, daemon, address, _sites: vec![ours, backlog] }
}

impl Browser {
    fn texts(&self, selector: &str) -> Vec<String> {
        let script = format!("return Array.from(document.querySelectorAll({selector:?}), (one) => one.textContent);");
        serde_json::from_value(self.run(&script)).unwrap()
    }

    /// The sites in the table, from its top.
    fn sites(&self) -> Vec<String> {
        self.texts("#rows td:first-child")
    }

    fn click(&self, selector: &str) {
        self.run(&format!("document.querySelector({selector:?}).click();"));
    }
}

#[test]
fn three_sites_are_shown() {
    page_shows(3);
}

#[test]
fn three_hundred_sites_are_shown() {
    page_shows(300);
}

#[test]
fn three_thousand_sites_are_shown() {
    page_shows(3000);
}

#[test]
fn a_site_that_is_held_up_says_by_what() {
    let Some(browser) = Browser::start() else { return };
    let mut site = Site::ours("ship-1", 0);
    // Of one agent: the data server would have to take them one after the other.
    for serial in 0..20 {
        site.add(format!("late.{}.data", 1_700_000_000 + serial), "<agent_data/>");
    }
    let (sandbox, address) = (Sandbox::new(), free_address());
    let lines = format!("publish = \"paced\"\nmax_spool_files = 5\n[http]\nlisten = \"{address}\"\n");
    sandbox.configure(&lines, [site.config(OFTEN)]);
    let _daemon = start(&sandbox, address);
    control::wait_for_site(&sandbox, "ship-1", |site| site["state"] == "held-up");
    browser.open(&format!("http://{address}/"));
    browser.wait_for("document.querySelector('#rows td:last-child')?.textContent.includes('max_spool_files')");
    browser.run("location.hash = '#/site/ship-1';");
    browser.wait_for("document.getElementById('problem').textContent.includes('until the data server has taken')");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

fn page_shows(count: usize) {
    let Some(browser) = Browser::start() else { return };
    let watched = watched(count);
    browser.open(&format!("http://{}/", watched.address));
    // All have had their round.
    browser.wait_for(&format!("state.report && state.report.daemon.failing === {}", count - 1));
    browser.wait_for(&format!("document.querySelectorAll('#rows tr').length === {count}"));
    sorts(&browser, count);
    filters(&browser, count);
    shows_one_site(&browser);
    shows_text_as_text(&browser);
    fits(&browser);
    refreshes_in_place(&browser);
    assert_eq!(browser.complaints(), Vec::<String>::new());
    tells_when_nobody_answers(&browser, watched);
}

fn sorts(browser: &Browser, count: usize) {
    let worst_first = browser.sites();
    assert_eq!((worst_first.len(), worst_first[0].as_str()), (count, "harbour"), "its files are the oldest");
    assert_eq!(worst_first[count - 1], "ship-1", "it alone works");
    assert!(worst_first.contains(&HOSTILE.to_owned()));
    let mut by_name = worst_first.clone();
    by_name.sort();
    browser.click("th button[data-order=name]");
    assert_eq!(browser.sites(), by_name);
    by_name.reverse();
    browser.click("th button[data-order=name]");
    assert_eq!(browser.sites(), by_name);
    assert_eq!(browser.run("return document.querySelector('[aria-sort]').ariaSort;"), "descending");
    browser.click("th button[data-order=waiting]");
    assert_eq!(browser.sites()[0], "harbour");
    let row = browser.texts("#rows tr:first-child td");
    assert!(row[1].starts_with("! ") && row[2] == "13" && row[3].starts_with('~') && row[5] == "never", "{row:?}");
    browser.click("th button[data-order=worst]");
    assert_eq!(browser.sites(), worst_first);
    let summary = browser.texts("#summary").remove(0);
    assert!(summary.contains(" fail") && summary.contains("13 files wait"), "{summary}");
}

fn filters(browser: &Browser, count: usize) {
    browser.press("/SHIP");
    assert_eq!(browser.sites(), ["ship-1"]);
    assert!(browser.texts("#shown")[0].starts_with("1 of "));
    browser.press(ESCAPE);
    assert_eq!(browser.sites().len(), count);
    browser.press("failing connect");
    assert_eq!(browser.sites().len(), count - 2, "but for the one that works and the one that answers");
    browser.press(&format!("{ESCAPE}no such site"));
    assert_eq!(browser.run("return document.getElementById('nothing').hidden;"), false);
    browser.press(ESCAPE);
    // Chosen with the keyboard.
    browser.press(&format!("/harbour{ENTER}{DOWN}{UP}{ENTER}"));
    browser.wait_for("location.hash === '#/site/harbour' && !document.getElementById('site').hidden");
    browser.press(ESCAPE);
    browser.wait_for("!document.getElementById('overview').hidden");
    browser.wait_for("document.activeElement.textContent.startsWith('harbour')");
    browser.press(&format!("/{ESCAPE}"));
    assert_eq!(browser.sites().len(), count);
}

fn shows_one_site(browser: &Browser) {
    browser.run("location.hash = '#/site/harbour';");
    browser.wait_for("document.querySelectorAll('#charts svg').length === 3");
    assert_eq!(browser.texts("h2"), ["harbour"]);
    let problem = browser.texts("#problem").remove(0);
    assert!(problem.contains("expected a reply to RECV") && problem.contains("<img src=x"), "{problem}");
    assert!(browser.texts("dd").iter().any(|fact| fact.contains("13 files, listed")), "{:?}", browser.texts("dd"));
    assert!(browser.texts("figcaption")[0].starts_with("Files waiting: 13 now"), "{:?}", browser.texts("figcaption"));
    browser.run("location.hash = '#/site/none%20such';");
    browser.wait_for("document.getElementById('problem').textContent.startsWith('No site')");
    browser.run("location.hash = '#/';");
    browser.wait_for("document.activeElement !== document.getElementById('name')");
}

fn shows_text_as_text(browser: &Browser) {
    assert_eq!(browser.run("return document.querySelectorAll('img, #rows b, h2 b').length;"), 0);
    browser.run(&format!("location.hash = '#/site/' + encodeURIComponent({});", json!(HOSTILE)));
    browser.wait_for("!document.getElementById('site').hidden");
    assert_eq!(browser.texts("h2"), [HOSTILE]);
    assert_eq!(browser.run("return document.querySelectorAll('img, h2 b').length;"), 0);
    browser.press(ESCAPE);
    let cut = browser.run("return [shown('x'.repeat(10240)), shown('a\\u0000\\u202e\\u001b<b>\\u{1f600}')];");
    assert_eq!(cut[0], format!("{}…", "x".repeat(240)));
    assert_eq!(cut[1], "a\\u{0}\\u{202e}\\u{1b}<b>\u{1f600}");
}

fn fits(browser: &Browser) {
    let width = "return document.documentElement.scrollWidth;";
    for (wide, high) in [(360, 740), (1280, 800)] {
        browser.resize(wide, high);
        assert!(browser.run(width).as_u64() <= Some(wide.into()), "{}", browser.run(width));
        browser.run("location.hash = '#/site/harbour';");
        browser.wait_for("!document.getElementById('site').hidden");
        assert!(browser.run(width).as_u64() <= Some(wide.into()), "{}", browser.run(width));
        browser.run("location.hash = '#/';");
        browser.wait_for("!document.getElementById('overview').hidden");
    }
    let ground = |scheme: &str| -> Value {
        browser.prefer(scheme);
        browser.run("return getComputedStyle(document.body).backgroundColor;")
    };
    assert_eq!((ground("light"), ground("dark")), (json!("rgb(255, 255, 255)"), json!("rgb(20, 23, 26)")));
}

fn refreshes_in_place(browser: &Browser) {
    browser.run("document.querySelector('#rows tr').focus(); window.row = document.activeElement; window.report = state.report;");
    browser.wait_for("state.report !== window.report");
    assert_eq!(browser.run("return window.row.isConnected && document.activeElement === window.row;"), true);
}

fn tells_when_nobody_answers(browser: &Browser, watched: Watched) {
    let Watched { sandbox, daemon, address, _sites } = watched;
    drop(daemon);
    browser.wait_for("!document.getElementById('silent').hidden");
    let words = browser.texts("#silent").remove(0);
    assert!(words.starts_with("tentacle-syncd has not answered since "), "{words}");
    assert_eq!(browser.run("return document.title;"), "(?) tentacle-sync");
    assert!(!browser.sites().is_empty(), "what was known is shown all the same");
    let _daemon = start(&sandbox, address);
    browser.wait_for("document.getElementById('silent').hidden");
}

/// The picture in the README.
#[test]
fn a_picture_is_taken_where_that_is_asked_for() {
    let Some(path) = std::env::var_os(PICTURE).map(PathBuf::from) else { return };
    let Some(browser) = Browser::start() else { return };
    let works: Vec<Site> = (1..10).map(|number| Site::ours(&format!("plant-{number}"), 40 * number)).collect();
    let (backlog, sandbox) = (with_backlog("harbour", "unknown"), Sandbox::new());
    let dead = site_config("ship-aurora", free_address(), OFTEN);
    let configured = works.iter().chain([&backlog]).map(|site| site.config(OFTEN)).chain([dead]);
    let address = configure(&sandbox, "", configured);
    let _daemon = start(&sandbox, address);
    for site in &works {
        let (name, count) = (site.name(), site.files.len());
        control::wait_for_site(&sandbox, name, |site| site["collected"]["files"] == count);
    }
    sandbox.run("pause", &["plant-3"]).assert_code(0);
    browser.resize(1200, 620);
    browser.prefer("light");
    browser.open(&format!("http://{address}/"));
    browser.wait_for("state.report && state.report.daemon.failing === 2");
    browser.wait_for("document.querySelectorAll('#rows tr').length === 11");
    fs::write(path, browser.screenshot()).unwrap();
}
