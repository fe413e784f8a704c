//! The extension, over sockets.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use tentacle_sync::config::server::{Mode, ServerConfig};
use tentacle_sync::proto::extension::{
    Capabilities, Capability, Condition, ContentHash, Cursor, ExtensionCommand, PageParser, PipelinedClient,
    PipelinedEvent, Remaining,
};
use tentacle_sync::proto::{Refusal, Verb, Want};
use tentacle_sync::testing::InProcessServer;

use crate::server_ops::Buffer;
use crate::server_process::{Options, stored_in};
use crate::site::hosted;
use crate::stock::start_stock;
use crate::support::{Certificates, Client, LOOPBACK, TIMEOUT, scratch};

/// A file's name, size and mtime.
type Listed = (String, u64, u64);

/// A client of the extension on a connection.
struct Speaker {
    machine: PipelinedClient,
    client: Client,
    events: Vec<PipelinedEvent>,
    bodies: Vec<Vec<u8>>,
}

impl Speaker {
    fn on(client: Client) -> Self {
        let mut speaker = Self { machine: PipelinedClient::new(), client, events: Vec::new(), bodies: Vec::new() };
        let events = speaker.ask(&[ExtensionCommand::Capabilities]).0;
        let [PipelinedEvent::Capabilities(capabilities)] = events[..] else { panic!("{events:?}") };
        assert!(capabilities.at(None) == Capabilities::all() && capabilities.time().is_some(), "{capabilities:?}");
        speaker
    }

    fn say(&mut self, command: &ExtensionCommand, body: &[u8]) {
        self.machine.command(command).unwrap();
        let bytes = [self.machine.transmit(), body].concat();
        self.client.send(bytes);
        self.machine.transmitted(usize::MAX);
        if !body.is_empty() {
            self.machine.body_supplied(body.len() as u64).unwrap();
        }
    }

    /// Sends all of them ahead, and waits for the answers: events, and bodies.
    fn ask(&mut self, commands: &[ExtensionCommand]) -> (Vec<PipelinedEvent>, Vec<Vec<u8>>) {
        for command in commands {
            self.say(command, b"");
        }
        self.answers()
    }

    fn put(&mut self, name: &str, body: &[u8], condition: Condition) -> PipelinedEvent {
        let put = ExtensionCommand::Put { name: name.parse().unwrap(), size: body.len() as u64, condition };
        self.say(&put, body);
        let mut events = self.answers().0;
        assert_eq!(events.len(), 1);
        events.remove(0)
    }

    fn answers(&mut self) -> (Vec<PipelinedEvent>, Vec<Vec<u8>>) {
        while self.machine.due() > 0 {
            if let Want::Body(left) = self.machine.want() {
                let (bytes, _) = self.client.receive(usize::try_from(left).unwrap(), TIMEOUT);
                assert!(!bytes.is_empty());
                self.machine.body_transferred(bytes.len() as u64).unwrap();
                self.bodies.last_mut().unwrap().extend(bytes);
            } else {
                let (byte, closed) = self.client.receive(1, TIMEOUT);
                assert!(!closed && byte.len() == 1, "{:?} {:?}", self.machine, self.events);
                self.machine.handle_input(&byte).unwrap();
            }
            while let Some(event) = self.machine.poll_event() {
                if let PipelinedEvent::File { .. } | PipelinedEvent::Page { .. } = event {
                    self.bodies.push(Vec::new());
                }
                self.events.push(event);
            }
        }
        (std::mem::take(&mut self.events), std::mem::take(&mut self.bodies))
    }

    /// One page: its files, where the next begins, and what follows.
    fn page(&mut self, after: Option<Cursor>, limit: u64) -> (Vec<Listed>, Option<Cursor>, Option<Remaining>) {
        let list = ExtensionCommand::List { word: "".parse().unwrap(), after, limit: Some(limit) };
        let (events, bodies) = self.ask(&[list]);
        let [PipelinedEvent::Page { remaining, .. }, PipelinedEvent::BodyComplete { verb: Verb::List }] = events[..]
        else {
            panic!("{events:?}")
        };
        let (mut parser, mut files) = (PageParser::default(), Vec::new());
        parser.feed(&bodies[0], |entry| {
            files.push((String::from_utf8(entry.name.to_vec()).unwrap(), entry.size, entry.mtime));
        });
        (files, parser.finish().unwrap().last, remaining)
    }
}

fn get(name: &str) -> ExtensionCommand {
    ExtensionCommand::Get(name.parse().unwrap())
}

fn drop_of(name: &str, bytes: &[u8]) -> ExtensionCommand {
    ExtensionCommand::Drop { name: name.parse().unwrap(), size: bytes.len() as u64, hash: ContentHash::of(bytes) }
}

fn refused(verb: Verb, refusal: Refusal) -> PipelinedEvent {
    PipelinedEvent::Refused { verb, refusal }
}

/// Writes a file of that age, in seconds.
fn write(storage: &Path, name: &str, bytes: &[u8], seconds: u64) {
    let path = storage.join(name);
    fs::write(&path, bytes).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// All that a collector does with a site: list, get and drop, everything ahead.
fn collect(client: Client, storage: &Path) {
    let bytes = |number: u64| format!("bytes of {number}").repeat(usize::try_from(number).unwrap() * 50).into_bytes();
    (0..50).for_each(|number| write(storage, &format!("a.{number}.data"), &bytes(number), 1_700_000_000 + number));
    let mut speaker = Speaker::on(client);
    let (files, _, remaining) = speaker.page(None, u64::MAX);
    let expected = |number: u64| {
        (format!("a.{number}.data"), bytes(number).len() as u64, (1_700_000_000 + number) * 1_000_000_000)
    };
    assert_eq!((files.clone(), remaining), ((0..50).map(expected).collect(), None));
    let gets: Vec<_> = files.iter().map(|(name, ..)| get(name)).collect();
    let (events, bodies) = speaker.ask(&gets);
    for (number, body) in (0..50).zip(&bodies) {
        let (_, size, mtime) = expected(number);
        assert_eq!(events[2 * usize::try_from(number).unwrap()], PipelinedEvent::File { size, mtime });
        assert_eq!(*body, bytes(number));
    }
    let drops: Vec<_> = files.iter().zip(&bodies).map(|((name, ..), body)| drop_of(name, body)).collect();
    let (events, _) = speaker.ask(&drops);
    assert_eq!(events, vec![PipelinedEvent::Done { verb: Verb::Drop }; 50]);
    assert_eq!(stored_in(storage).len(), 0);
    assert_eq!(speaker.page(None, 10), (vec![], None, None));
    speaker.machine.quit().unwrap();
    speaker.client.send(speaker.machine.transmit());
    speaker.client.expect_closed();
}

#[test]
fn a_site_is_collected_with_everything_sent_ahead() {
    let storage = scratch();
    let server = hosted(storage.path());
    collect(Client::connect(server.address().unwrap()), storage.path());
}

#[test]
fn so_it_is_over_tls_and_through_a_relay_of_ours() {
    let certificates = Certificates::new();
    let buffer = Buffer::with(Options::usual().tls(&certificates), "idle_timeout 10s\n");
    let client = Client::connect_tls(buffer.address(), certificates.client_config(false)).unwrap();
    collect(client, &buffer.storage());
    let upstream = Buffer::start("idle_timeout 10s\n");
    let options = Options::default().arg("-b").arg(upstream.address().ip().to_string());
    let options = options.arg("-g").arg(upstream.address().port().to_string());
    collect(Buffer::with(options, "idle_timeout 10s\n").connect(), &upstream.storage());
}

#[test]
fn pages_follow_each_other_while_files_come_and_go() {
    let storage = scratch();
    let server = hosted(storage.path());
    for number in 0..10 {
        write(storage.path(), &format!("{number}"), b"12", 100);
    }
    write(storage.path(), "the oldest", b"1", 1);
    fs::create_dir(storage.path().join("directory")).unwrap();
    let mut speaker = Speaker::on(Client::connect(server.address().unwrap()));
    let (files, after, remaining) = speaker.page(None, 4);
    let names = |files: &[Listed]| files.iter().map(|(name, ..)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&files), ["the oldest", "0", "1", "2"]);
    assert_eq!(remaining, Some(Remaining { files: 7, bytes: 14 }));
    assert_eq!(speaker.ask(&[drop_of("2", b"12")]).0, [PipelinedEvent::Done { verb: Verb::Drop }]);
    write(storage.path(), "newer", b"123", 200);
    let (files, after, _) = speaker.page(after, 4);
    assert_eq!(names(&files), ["3", "4", "5", "6"], "behind a file that is gone");
    // Another connection has no list that was begun.
    let mut other = Speaker::on(Client::connect(server.address().unwrap()));
    let (files, after, remaining) = other.page(after, u64::MAX);
    assert_eq!((names(&files), remaining), (vec!["7".into(), "8".into(), "9".into(), "newer".into()], None));
    assert_eq!(other.page(after, 0), (vec![], None, None));
    assert_eq!(other.page(None, 0).0.len(), 1, "a page has one file at least");
    let strange = Cursor { mtime: u64::MAX >> 1, name: "\u{e9} .conf".parse().unwrap() };
    assert_eq!(other.page(Some(strange), 5).0, []);
}

#[test]
fn what_has_changed_is_not_dropped_whoever_was_given_it() {
    let storage = scratch();
    let server = hosted(storage.path());
    let mut speaker = Speaker::on(Client::connect(server.address().unwrap()));
    let done = || PipelinedEvent::Done { verb: Verb::Drop };
    let changed = || refused(Verb::Drop, Refusal::Changed);
    write(storage.path(), "a", b"first", 5);
    // A file is remembered as given only where the clock of the filesystem has moved on since it was written.
    thread::sleep(Duration::from_millis(50));
    assert_eq!(speaker.ask(&[get("a")]).1, [b"first"]);
    // The same size and time, so that ctime and inode alone tell it.
    write(storage.path(), "a", b"other", 5);
    assert_eq!(speaker.ask(&[drop_of("a", b"first"), drop_of("a", b"fir")]).0, [changed(), changed()]);
    assert_eq!(fs::read(storage.path().join("a")).unwrap(), b"other");
    // Never given on this connection: the bytes are compared.
    assert_eq!(
        speaker.ask(&[drop_of("a", b"other"), drop_of("a", b"other")]).0,
        [done(), refused(Verb::Drop, Refusal::Missing)]
    );
    write(storage.path(), "empty", b"", 5);
    let (events, bodies) = speaker.ask(&[get("empty"), drop_of("empty", b""), get("empty")]);
    assert_eq!((events.len(), bodies.len()), (4, 1));
    assert_eq!(events[2..], [done(), refused(Verb::Get, Refusal::Missing)]);
}

/// Linux before 6.13 stamps times a few milliseconds apart: of what is written in between, size, time and inode stay the same.
#[test]
fn nor_is_what_has_changed_before_the_filesystems_clock_moved_on() {
    let storage = scratch();
    let server = hosted(storage.path());
    let mut speaker = Speaker::on(Client::connect(server.address().unwrap()));
    for _ in 0..50 {
        write(storage.path(), "a", b"first", 5);
        assert_eq!(speaker.ask(&[get("a")]).1, [b"first"]);
        write(storage.path(), "a", b"other", 5);
        assert_eq!(speaker.ask(&[drop_of("a", b"first")]).0, [refused(Verb::Drop, Refusal::Changed)]);
    }
}

#[test]
fn a_put_is_stored_whole_or_not_at_all() {
    let storage = scratch();
    let server = hosted(storage.path());
    let mut speaker = Speaker::on(Client::connect(server.address().unwrap()));
    let done = PipelinedEvent::Done { verb: Verb::Put };
    let refused = |refusal| refused(Verb::Put, refusal);
    let path = storage.path().join("a");
    assert_eq!(speaker.put("a", b"1", Condition::Absent), done);
    assert_eq!(speaker.put("a", b"2", Condition::Absent), refused(Refusal::Exists));
    assert_eq!(speaker.put("a", b"3", Condition::Hash(ContentHash::of(b"2"))), refused(Refusal::Changed));
    assert_eq!(speaker.put("b", b"3", Condition::Hash(ContentHash::of(b"2"))), refused(Refusal::Missing));
    assert_eq!(fs::read(&path).unwrap(), b"1");
    assert_eq!(speaker.put("a", b"4", Condition::Hash(ContentHash::of(b"1"))), done);
    assert_eq!(speaker.put("a", b"55", Condition::None), done);
    assert_eq!(fs::read(&path).unwrap(), b"55");
    assert_eq!(speaker.put("a", b"", Condition::None), refused(Refusal::TooBig));
    assert_eq!(speaker.put("a", &vec![0; 2_000_001], Condition::None), refused(Refusal::TooBig), "read past");
    assert_eq!(speaker.ask(&[get("a")]).1, [b"55"], "and the session goes on");
    speaker.client.send("PUT <c> SIZE 100\nhalf of it");
    speaker.client.reset();
    drop(server);
    assert_eq!(stored_in(storage.path()).len(), 1);
    assert_eq!(fs::read_dir(storage.path().join(".tentacle-server")).unwrap().count(), 0);
}

#[test]
fn bad_input_is_answered_or_ends_the_session() {
    let storage = scratch();
    let server = hosted(storage.path());
    write(storage.path(), "a", b"1", 5);
    let connect = || Client::connect(server.address().unwrap());
    let hash = ContentHash::of(b"1");
    let mut client = connect();
    for (line, answer) in [
        ("GET <a*>", "GET ERR (invalid file name)"),
        ("GET <..>", "GET ERR (file does not exist)"),
        (&format!("GET <{}>", "n".repeat(300)), "GET ERR (file does not exist)"),
        ("GET <.tentacle-server>", "GET ERR (invalid file name)"),
        ("GET <conf>", "GET ERR (file does not exist)"),
        ("LIST <.conf>", "LIST ERR (file does not exist)"),
        ("LIST <> AFTER 9223372036854775807 <\u{7f}>", "LIST ERR (invalid file name)"),
        ("LIST <> AFTER 9223372036854775807 <z> LIMIT 99999999999999999999999", "LIST SIZE 0 END"),
        (&format!("DROP <a/b> SIZE 1 BLAKE3 {hash}"), "DROP ERR (invalid file name)"),
        (&format!("DROP <a> SIZE 99999999999999999999 BLAKE3 {hash}"), "DROP ERR (file has changed)"),
        (&format!("DROP <b> SIZE 1 BLAKE3 {hash}"), "DROP ERR (file does not exist)"),
        ("PUT <a/b> SIZE 0", "PUT ERR (invalid file name)"),
        ("RECV <?>", "RECV ERR (file has an invalid file name)"),
    ] {
        client.ask(line, answer);
    }
    client.send("PUT <a/b> SIZE 3\nabcGET <a>\n");
    client.expect("PUT ERR (invalid file name)\nGET SIZE 1 MTIME 5000000000\n1");
    for line in ["GET a", "LIST <> LIMIT", "DROP <a> SIZE 1", "PUT <a> SIZE 99999999999999999999", "CAPS", "DEFLATE <>"]
    {
        let mut client = connect();
        client.send(format!("{line}\n"));
        client.expect_closed();
    }
    assert_eq!(stored_in(storage.path()).len(), 1);
}

#[test]
fn what_is_not_allowed_is_not_offered_or_refused() {
    let buffer = Buffer::with(Options::default().arg("-o"), "idle_timeout 10s\n");
    let mut client = buffer.connect();
    let all = Capabilities::all().without(Capability::List).without(Capability::Drop);
    assert_eq!(client.capabilities(), format!("CAPS {all}"));
    client.ask("LIST <>", "LIST ERR (not allowed)");
    let hash = ContentHash::of(b"1");
    client.ask(&format!("DROP <a> SIZE 1 BLAKE3 {hash}"), "DROP ERR (not allowed)");
    let buffer = Buffer::start("idle_timeout 10s\nallow send in conf from any\nallow ls from 192.0.2.1\n");
    let mut client = buffer.connect();
    client.ask("LIST <>", "LIST ERR (not allowed)");
    client.ask("GET <a>", "GET ERR (not allowed)");
    client.ask(&format!("DROP <a> SIZE 1 BLAKE3 {hash}"), "DROP ERR (not allowed)");
    client.send("PUT <a> SIZE 1\n1PUT <a.conf> SIZE 1\n1");
    client.expect("PUT ERR (not allowed)\nPUT OK\n");
}

#[test]
fn with_the_extension_off_it_is_stock_s_protocol_alone() {
    for buffer in [
        Buffer::start("extension 0\nidle_timeout 10s\n"),
        Buffer::with(Options::usual().arg("--no-extension"), "extension 1\nidle_timeout 10s\n"),
    ] {
        let mut client = buffer.connect();
        client.ask("RECV <?caps>", "RECV ERR (file has an invalid file name)");
        client.send("GET <a>\n");
        client.expect_closed();
    }
}

#[test]
fn a_stock_server_refuses_the_question_and_goes_on() {
    let certificates = Certificates::new();
    for (options, tls, password) in [
        (Options::usual(), false, false),
        (Options::usual().password("s3cret"), false, true),
        (Options::usual().tls(&certificates), true, false),
        (Options::usual().tls(&certificates).password("s3cret"), true, true),
    ] {
        let storage = scratch();
        let Some(stock) = start_stock(&options, storage.path()) else { return };
        let mut client = if tls {
            Client::connect_tls(stock.address(), certificates.client_config(false)).unwrap()
        } else {
            Client::connect(stock.address())
        };
        if password {
            client.ask("PASS 703b089710823916d4bb7ff2deff4d8f", "PASS OK");
        }
        client.ask("RECV <?caps>", "RECV ERR (file has an invalid file name)");
        client.ask("SEND <a.1.data> SIZE 4", "SEND OK");
        client.send("body");
        client.expect("SEND OK\n");
    }
}

/// Answers wait for the disk together, and stay in order behind a command that waits for them.
#[test]
fn what_stands_behind_drops_is_answered_behind_them() {
    let storage = scratch();
    let mut config = ServerConfig::storing(storage.path().to_owned(), LOOPBACK, 0);
    if let Mode::Store(settings) = &mut config.mode {
        (settings.insecure, settings.max_size) = (true, 10);
    }
    let server = InProcessServer::start(config).unwrap();
    let mut lines = String::new();
    let mut answers = String::new();
    for number in 0..3000 {
        fs::write(storage.path().join(number.to_string()), b"1").unwrap();
        writeln!(lines, "DROP <{number}> SIZE 1 BLAKE3 {}", ContentHash::of(b"1")).unwrap();
        answers += "DROP OK\n";
        if number % 1000 == 7 {
            lines += "GET <?>\n";
            answers += "GET ERR (invalid file name)\n";
        }
    }
    lines += "RECV <?>\nQUIT\n";
    answers += "RECV ERR (file has an invalid file name)\n";
    let mut client = Client::connect(server.address().unwrap());
    client.send(lines);
    client.expect(answers);
    client.expect_closed();
    assert_eq!(stored_in(storage.path()).len(), 0);
}
