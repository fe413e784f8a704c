//! How far a file is, shown on a terminal.

use tempfile::TempDir;

use crate::client_process::{ScriptReply, ScriptStep, Scripted, WorkDir, at};
use crate::server_process::{Options, ServerProcess, stored_in};
use crate::support::scratch;
use crate::terminal::{CLIENT, CONTROL_C, Terminal};

/// What is left of lines that were drawn over themselves: to the beginning, and erase to the end.
fn left_on_screen(shown: &str) -> String {
    let lines = shown.split_inclusive("\r\n").map(|line| line.rsplit_once("\x1b[K").map_or(line, |(_, rest)| rest));
    lines.collect()
}

/// A file that is worth watching, at a server and elsewhere.
fn with_large_file() -> (WorkDir, TempDir, ServerProcess) {
    let (mut bytes, storage) = (vec![0; 16 << 20], scratch());
    // An archive does not make them fewer.
    fastrand::Rng::with_seed(7).fill(&mut bytes);
    let work_dir = WorkDir::with(&[("large.data", &bytes)]);
    // It takes a while to make an archive of it.
    let options = Options::usual().arg("-m").arg("99999999").arg("-t").arg("60");
    let server = ServerProcess::ours(&options, storage.path());
    (work_dir, storage, server)
}

#[test]
fn a_large_file_shows_how_far_it_is_and_nothing_stays() {
    let (work_dir, storage, server) = with_large_file();
    for args in
        [&["large.data"][..], &["-g", "large.data"], &["-z", "large.data", "large.data"], &["-zg", "large.data"]]
    {
        let args = [&["-t", "60"], args].concat();
        let terminal = Terminal::run(CLIENT, at(server.address(), args), &work_dir.path(""));
        let (status, shown) = terminal.end();
        assert_eq!((status.code(), left_on_screen(&shown).as_str()), (Some(0), ""), "{shown:?}");
        assert!(shown.contains("\rlarge.data  100 %  16.0 MiB of 16.0 MiB"), "{shown:?}");
    }
    assert_eq!(stored_in(storage.path()), work_dir.files());
}

#[test]
fn progress_fits_on_a_narrow_terminal() {
    let (work_dir, _storage, server) = with_large_file();
    for columns in [3, 24, 40] {
        let terminal = Terminal::wide(columns, CLIENT, at(server.address(), ["large.data"]), &work_dir.path(""));
        let (status, shown) = terminal.end();
        assert_eq!(status.code(), Some(0));
        for drawn in shown.split('\r').map(|line| line.trim_end_matches("\x1b[K")) {
            assert!(drawn.len() < usize::from(columns), "{drawn:?}");
        }
    }
}

#[test]
fn an_error_stands_alone_behind_progress() {
    let step = |says: &[u8]| ScriptStep { awaits: None, says: ScriptReply::Bytes(says.to_vec()) };
    let script = vec![step(b"RECV SIZE 20000000\n"), step(&[7; 100_000])];
    let (server, work_dir) = (Scripted::start(script), WorkDir::new());
    let mut terminal =
        Terminal::run(CLIENT, at(server.address(), ["-t", "60", "-g", "large.data"]), &work_dir.path(""));
    terminal.expect("of 19.0 MiB");
    terminal.type_in(CONTROL_C);
    let (status, shown) = terminal.end();
    assert_eq!((status.code(), left_on_screen(&shown).as_str()), (Some(1), "[err] Interrupted.\r\n"), "{shown:?}");
    assert!(work_dir.files().is_empty());
}

#[test]
fn where_nobody_reads_it_there_is_no_progress() {
    let (work_dir, _storage, server) = with_large_file();
    for args in [&["large.data"][..], &["-g", "large.data"]] {
        let outcome = work_dir.run_at(server.address(), args);
        outcome.assert_done();
        assert_eq!(outcome.stdout, "");
    }
    let quiet = Terminal::run(CLIENT, at(server.address(), ["-q", "-g", "large.data"]), &work_dir.path(""));
    let (status, shown) = quiet.end();
    assert_eq!((status.code(), shown.as_str()), (Some(0), ""));
}
