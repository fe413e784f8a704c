//! `top`, on a terminal.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use tentacle_sync::testing::fake_server::Setup;

use crate::control::{OFTEN, start};
use crate::daemon::Sandbox;
use crate::server_process::free_address;
use crate::site::{Site, site_config};
use crate::terminal::{CONTROL_C, Terminal};

const SYNCD: &str = env!("CARGO_BIN_EXE_tentacle-syncd");

/// What puts a terminal back as it was.
const OTHER_SCREEN: &str = "\x1b[?1049l";

fn arguments(sandbox: &Sandbox) -> Vec<OsString> {
    vec!["top".into(), "--config".into(), sandbox.config().into()]
}

fn top(sandbox: &Sandbox) -> Terminal {
    Terminal::run(SYNCD, arguments(sandbox), &sandbox.path(""))
}

#[test]
fn sites_are_shown_and_keys_act_on_them_until_it_is_told_to_end() {
    let site = Site::fake("good", 3, Setup::default());
    let sandbox = Sandbox::with_sites([site.config(OFTEN), site_config("dead", free_address(), OFTEN)]);
    let mut daemon = start(&sandbox);
    let mut terminal = top(&sandbox);
    terminal.expect("2 sites");
    terminal.expect("! dead");
    terminal.expect("connection refused");
    // The site's page, and back.
    terminal.type_in("/good\r\r");
    terminal.expect("Esc all sites");
    terminal.type_in("\x1b");
    terminal.expect("(good, Esc clears)");

    // The daemon is started anew.
    daemon.kill();
    terminal.expect("NO ANSWER");
    terminal.expect("not running");
    let _daemon = start(&sandbox);
    terminal.type_in("s");
    terminal.expect("sort: age");
    terminal.resize(40, 10);
    // What does not fit is cut.
    terminal.expect("…");
    terminal.type_in("q");
    let (status, shown) = terminal.end();
    assert!(status.code() == Some(0) && shown.contains(OTHER_SCREEN), "{status}: {shown:?}");
}

#[test]
fn the_terminal_is_as_it_was_however_it_ends() {
    let site = Site::fake("good", 3, Setup::default());
    let sandbox = Sandbox::with_sites([site.config(OFTEN)]);
    let _daemon = start(&sandbox);
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut terminal = top(&sandbox);
        terminal.expect("good");
        terminal.signal(signal);
        let (status, shown) = terminal.end();
        assert!(status.signal() == Some(signal.as_raw()) && shown.contains(OTHER_SCREEN), "{status}: {shown:?}");
    }
    let mut terminal = top(&sandbox);
    terminal.expect("good");
    terminal.type_in(CONTROL_C);
    assert_eq!(terminal.end().0.code(), Some(0));
}

#[test]
fn without_a_terminal_or_a_daemon_it_says_so() {
    let sandbox = Sandbox::with_sites([site_config("dead", free_address(), OFTEN)]);
    let mut command = Command::new(SYNCD);
    let output = command.args(arguments(&sandbox)).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.contains("status") && said.contains("watch"), "{said}");
    let (status, shown) = top(&sandbox).end();
    assert!(status.code() == Some(3) && shown.contains("not running"), "{shown:?}");
    assert!(!shown.contains(OTHER_SCREEN), "nothing was taken over: {shown:?}");
}

#[test]
fn there_are_no_colours_where_none_are_wanted() {
    let sandbox = Sandbox::with_sites([site_config("dead", free_address(), OFTEN)]);
    let _daemon = start(&sandbox);
    for (variable, has_colors) in [("NO_COLOR=1", false), ("NO_COLOR=", true)] {
        let arguments = [vec![variable.into(), SYNCD.into()], arguments(&sandbox)].concat();
        let mut terminal = Terminal::run("/usr/bin/env", arguments, &sandbox.path(""));
        let mut shown = terminal.expect("! dead");
        shown += &terminal.expect("connection refused");
        terminal.type_in("q");
        shown += &terminal.end().1;
        assert_eq!(shown.contains("\x1b[38;5;9m"), has_colors, "{variable}: {shown:?}");
    }
}
