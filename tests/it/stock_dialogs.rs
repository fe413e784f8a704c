//! What the recordings do not show of a stock server, compared with the fake server and, where there is one, a stock
//! server.

use std::fs;
use std::path::Path;

use tentacle_sync::testing::fake_server::{FakeServer, Filter, Setup, Storage};

use crate::server_process::{Options, ServerProcess};
use crate::stock::start_stock;
use crate::support::{Client, scratch};

use Step::{Closed, Expect, Remove, ScriptReply, Silence, Write};

enum Step {
    /// The client sends this in one write.
    ScriptReply(&'static str),
    /// The server sends exactly this.
    Expect(&'static str),
    /// The server stays, and sends nothing.
    Silence,
    /// The server closes.
    Closed,
    /// An agent writes a file meanwhile.
    Write(&'static str, &'static str),
    /// A file disappears meanwhile.
    Remove(&'static str),
}

/// Storage: a directory `conf`, and `a` with five bytes.
const DIALOGUES: &[(&str, &[Step])] = &[
    (
        "a file that grew is sent whole",
        &[
            ScriptReply("RECV <a>\n"),
            Expect("RECV SIZE 5\n"),
            Write("a", "12345\n67"),
            ScriptReply("RECV OK\n"),
            Expect("12345\n67"),
            ScriptReply("MV <a>\n"),
            Expect("MV SIZE 8\n"),
            Write("a", "12345\n67\n89"),
            ScriptReply("MV OK\n"),
            Expect("12345\n67\n89"),
            ScriptReply("RECV <a>\n"),
            Expect("RECV ERR (file does not exist)\n"),
        ],
    ),
    (
        "a file that shrank is sent short",
        &[
            ScriptReply("RECV <a>\n"),
            Expect("RECV SIZE 5\n"),
            Write("a", "123"),
            ScriptReply("RECV OK\n"),
            Expect("123"),
            ScriptReply("MV <a>\n"),
            Expect("MV SIZE 3\n"),
            Write("a", "12"),
            ScriptReply("MV OK\n"),
            Expect("12"),
            Silence,
            ScriptReply("MV <a>\n"),
            Expect("MV ERR\n"),
        ],
    ),
    (
        "an empty file is moved and the session goes on",
        &[
            Write("a", ""),
            ScriptReply("MV <a>\n"),
            Expect("MV SIZE 0\n"),
            ScriptReply("MV OK\n"),
            Silence,
            ScriptReply("MV <a>\n"),
            Expect("MV ERR\n"),
        ],
    ),
    (
        "a file that became empty closes when received",
        &[ScriptReply("RECV <a>\n"), Expect("RECV SIZE 5\n"), Write("a", ""), ScriptReply("RECV OK\n"), Closed],
    ),
    (
        "a file gone before it is received closes",
        &[ScriptReply("RECV <a>\n"), Expect("RECV SIZE 5\n"), Remove("a"), ScriptReply("RECV OK\n"), Closed],
    ),
    (
        "a file gone before it is moved closes",
        &[ScriptReply("MV <a>\n"), Expect("MV SIZE 5\n"), Remove("a"), ScriptReply("MV OK\n"), Closed],
    ),
    (
        "any line but OK declines",
        &[
            ScriptReply("MV <a>\n"),
            Expect("MV SIZE 5\n"),
            ScriptReply("LS <>\n"),
            Silence,
            ScriptReply("MV <a>\n"),
            Expect("MV SIZE 5\n"),
            ScriptReply("\n"),
            Silence,
            ScriptReply("LS <>\n"),
            Expect("LS SIZE 12\n"),
        ],
    ),
    (
        "what follows a body in one write is the next command",
        &[
            ScriptReply("SEND <b> SIZE 3\n"),
            Expect("SEND OK\n"),
            ScriptReply("abcRECV <b>\n"),
            Expect("SEND OK\nRECV SIZE 3\n"),
        ],
    ),
    (
        "a body that comes with its command closes",
        &[ScriptReply("SEND <b> SIZE 3\nabc"), Silence, ScriptReply("\n"), Closed],
    ),
    (
        "two commands in two writes that do not end a line close",
        &[ScriptReply("LS <>\nLS"), Silence, ScriptReply(" <>\n"), Closed],
    ),
    (
        "the name is checked before the size, and the size before the file",
        &[
            ScriptReply("SEND <a/> SIZE 0\n"),
            Expect("SEND ERR (invalid file name)\n"),
            ScriptReply("SEND <a> SIZE 0\n"),
            Expect("SEND ERR (file is too big)\n"),
            ScriptReply("SEND <a> SIZE 99999999999999999999999\n"),
            Expect("SEND ERR (file is too big)\n"),
            ScriptReply("SEND <a> SIZE 3\n"),
            Expect("SEND ERR (file already exists)\n"),
        ],
    ),
    (
        "directories are no files",
        &[
            ScriptReply("RECV <conf>\n"),
            Expect("RECV ERR (file does not exist)\n"),
            ScriptReply("RECV <..>\n"),
            Expect("RECV ERR (file does not exist)\n"),
            ScriptReply("RECV <>\n"),
            Expect("RECV ERR (file does not exist)\n"),
            ScriptReply("MV <..>\n"),
            Expect("MV ERR\n"),
            ScriptReply("MV <>\n"),
            Expect("MV ERR\n"),
            ScriptReply("SEND <conf> SIZE 3\n"),
            Expect("SEND OK\n"),
            ScriptReply("abc"),
            Closed,
        ],
    ),
    ("two dots list the storage itself", &[ScriptReply("LS <..>\n"), Expect("LS SIZE 12\n")]),
    (
        "a filter matches anywhere in a name",
        &[Write("conf/x.conf.bak", "1"), ScriptReply("RECV <x.conf.bak>\n"), Expect("RECV SIZE 1\n")],
    ),
    (
        "the password is asked for once, and only in lower case",
        &[ScriptReply("PASS 703B089710823916D4BB7FF2DEFF4D8F\n"), Closed],
    ),
    (
        "archives are refused by name, size and absence as files are",
        &[
            ScriptReply("ZRECV <a/>\n"),
            Expect("ZRECV ERR (file has an invalid file name)\n"),
            ScriptReply("ZRECV <conf>\n"),
            Expect("ZRECV ERR (file does not exist)\n"),
            ScriptReply("ZSEND <b> SIZE 0\n"),
            Expect("ZSEND ERR (file is too big)\n"),
        ],
    ),
    (
        "a name may hold a newline on disk but not in a command",
        &[Write("x\ny", "1"), ScriptReply("RECV <x\ny>\n"), Closed],
    ),
    ("trailing words close", &[ScriptReply("RECV <a>x\n"), Closed]),
];

/// Lines, whole or in pieces, against the limit of 1,024 bytes.
const LINES: &[(usize, usize, bool)] = &[(1_024, 2, true), (900, 200, true), (1_025, 2, false), (2_000, 2, false)];

fn storage() -> tempfile::TempDir {
    let storage = scratch();
    fs::create_dir(storage.path().join("conf")).unwrap();
    fs::write(storage.path().join("a"), "12345").unwrap();
    storage
}

fn start_double(storage: &Path) -> FakeServer {
    let filters = vec![Filter::new(".conf", "conf")];
    FakeServer::start(Setup { storage: Storage::Directory(storage.to_owned()), filters, ..Setup::default() }).unwrap()
}

fn start_usual_stock(storage: &Path) -> Option<ServerProcess> {
    start_stock(&Options::default().arg("-I").arg("-i").arg(r".*\.conf:conf"), storage)
}

fn run_dialog(name: &str, acts: &[Step], client: &mut Client, storage: &Path) {
    println!("{name}");
    for act in acts {
        match act {
            ScriptReply(words) => client.send(words),
            Expect(words) => client.expect(words),
            Silence => client.expect_silence(),
            Closed => client.expect_closed(),
            Write(name, bytes) => fs::write(storage.join(name), bytes).unwrap(),
            Remove(name) => fs::remove_file(storage.join(name)).unwrap(),
        }
    }
    if !matches!(acts.last(), Some(Closed)) {
        client.expect_silence();
    }
}

/// Sends a command of `first` and `second` bytes in two writes; an error answers it, or it closes.
fn hold_line(first: usize, second: usize, answered: bool, client: &mut Client) {
    let line = format!("RECV <{}>\n", "x".repeat(first + second - b"RECV <>\n".len()));
    client.send(&line[..first]);
    if answered {
        client.expect_silence();
        client.send(&line[first..]);
        client.expect("RECV ERR (file does not exist)\n");
    } else {
        client.expect_closed();
    }
}

#[test]
fn the_double_does_as_stock_was_seen_to_do() {
    for (name, acts) in DIALOGUES {
        let storage = storage();
        let fake = start_double(storage.path());
        run_dialog(name, acts, &mut Client::connect(fake.address()), storage.path());
    }
    for &(first, second, answered) in LINES {
        let storage = storage();
        let fake = start_double(storage.path());
        hold_line(first, second, answered, &mut Client::connect(fake.address()));
    }
}

#[test]
fn a_stock_server_does_as_the_double() {
    for (name, acts) in DIALOGUES {
        let storage = storage();
        let Some(server) = start_usual_stock(storage.path()) else { return };
        run_dialog(name, acts, &mut Client::connect(server.address()), storage.path());
    }
    for &(first, second, answered) in LINES {
        let storage = storage();
        let Some(server) = start_usual_stock(storage.path()) else { return };
        hold_line(first, second, answered, &mut Client::connect(server.address()));
    }
}
