//! Connections that are compressed in the extension (`DEFLATE`), over sockets.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use rustix::process::Signal;
use tentacle_sync::proto::extension::ContentHash;
use tentacle_sync::testing::fake_server::{AgentFiles, Files};

use crate::daemon::{Daemon, Sandbox, wait_until};
use crate::server_ops::{Buffer, timeless};
use crate::server_process::{Options, is_emptied};
use crate::site::{Access, site_config};
use crate::support::{Certificates, Client, LOOPBACK, TIMEOUT, fill, scratch};

const COMPRESSES: &str = " compresses: ";
const DOES_NOT_COMPRESS: &str = " does not compress";

/// A client whose connection is compressed.
struct Compressed {
    client: Client,
    compress: Compress,
    decompress: Decompress,
}

impl Compressed {
    fn on(mut client: Client) -> Self {
        assert_eq!(client.capabilities(), "CAPS 1 PIPELINE GET LIST DROP PUT BLAKE3 DEFLATE");
        client.ask("DEFLATE", "DEFLATE OK");
        Self { client, compress: Compress::new(Compression::fast(), false), decompress: Decompress::new(false) }
    }

    fn send(&mut self, text: impl AsRef<[u8]>) {
        let mut stream = Vec::with_capacity(text.as_ref().len() + 1_000);
        self.compress.compress_vec(text.as_ref(), &mut stream, FlushCompress::Sync).unwrap();
        self.client.send(stream);
    }

    /// The next line, without its end.
    fn line(&mut self) -> String {
        let mut text = Vec::with_capacity(1_000);
        while !text.ends_with(b"\n") {
            let (stream, is_closed) = self.client.receive(1, TIMEOUT);
            assert!(!stream.is_empty() && !is_closed, "after {}", text.escape_ascii());
            self.decompress.decompress_vec(&stream, &mut text, FlushDecompress::Sync).unwrap();
        }
        String::from_utf8(text).unwrap().trim_end().to_owned()
    }

    /// This comes next, whole, and without anything being sent for it.
    fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let mut text = Vec::with_capacity(expected.len() + 1_000);
        while text.len() < expected.len() {
            let (stream, is_closed) = self.client.receive(1, TIMEOUT);
            assert!(!stream.is_empty() && !is_closed, "after {}", text.escape_ascii());
            self.decompress.decompress_vec(&stream, &mut text, FlushDecompress::Sync).unwrap();
        }
        assert_eq!(text.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }

    /// Nothing comes any more but the end of the last flush.
    fn expect_closed(&mut self) {
        let (stream, is_closed) = self.client.receive(usize::MAX, TIMEOUT);
        let mut text = Vec::with_capacity(1_000);
        self.decompress.decompress_vec(&stream, &mut text, FlushDecompress::Sync).unwrap();
        assert_eq!((text.escape_ascii().to_string().as_str(), is_closed), ("", true));
    }
}

/// Files are stored, listed, got and dropped, in the extension and by stock's commands.
fn converse(client: Client) {
    let mut compressed = Compressed::on(client);
    let body = "<module>".repeat(5_000);
    compressed.send(format!("PUT <a.1.data> SIZE {}\n{body}", body.len()));
    compressed.expect("PUT OK\n");
    compressed.send("SEND <b.2.data> SIZE 4\n");
    compressed.expect("SEND OK\n");
    compressed.send("body");
    compressed.expect("SEND OK\n");
    compressed.send("RECV <b.2.data>\n");
    compressed.expect("RECV SIZE 4\n");
    compressed.send("RECV OK\n");
    compressed.expect("body");
    compressed.send("MV <b.2.data>\n");
    compressed.expect("MV SIZE 4\n");
    compressed.send("MV OK\n");
    compressed.expect("body");
    let hash = ContentHash::of(body.as_bytes());
    let commands = format!("DROP <a.1.data> SIZE {} BLAKE3 {hash}\nDEFLATE\nLIST <>\n", body.len());
    compressed.send(commands);
    compressed.expect("DROP OK\nDEFLATE ERR (not allowed)\nLIST SIZE 0 END\n");
    compressed.send("RECV <?caps>\n");
    assert_eq!(timeless(&compressed.line()), "CAPS 1 PIPELINE GET LIST DROP PUT BLAKE3");
    compressed.send("QUIT\n");
    compressed.expect_closed();
}

#[test]
fn all_commands_go_compressed_in_plain_under_tls_and_through_a_relay_of_ours() {
    let certificates = Certificates::new();
    converse(Buffer::start("idle_timeout 10s\n").connect());
    let buffer = Buffer::with(Options::usual().tls(&certificates), "idle_timeout 10s\n");
    converse(Client::connect_tls(buffer.address(), certificates.client_config(false)).unwrap());
    let upstream = Buffer::start("idle_timeout 10s\n");
    let options = Options::default().arg("-b").arg(upstream.address().ip().to_string());
    let options = options.arg("-g").arg(upstream.address().port().to_string());
    converse(Buffer::with(options, "idle_timeout 10s\n").connect());
}

#[test]
fn what_is_no_deflate_stream_ends_the_session_and_is_logged() {
    let buffer = Buffer::start("idle_timeout 10s\n");
    let mut plain = Compressed::on(buffer.connect());
    plain.client.send("GET <a.1.data>\n");
    plain.client.expect_closed();
    buffer.wait_for_line(&["WARN", "reason=compression", "it is no deflate stream"]);
    let mut ended = Compressed::on(buffer.connect());
    // QUIT, and the end of the stream.
    ended.client.send(b"\x0b\x0c\xf5\x0c\xe1\x02\x00");
    ended.client.expect_closed();
    // Sent ahead of the consent, in plain: what stands behind the command belongs to the stream.
    let mut ahead = buffer.connect();
    ahead.send("DEFLATE\nPUT <a.1.data> SIZE 1\n1");
    ahead.expect("DEFLATE OK\n");
    ahead.expect_closed();
    assert!(buffer.files().is_empty());
}

#[test]
fn a_server_may_refuse_it_also_from_a_reload_on() {
    let buffer = Buffer::start("idle_timeout 10s\ncompression 0\n");
    let mut client = buffer.connect();
    assert_eq!(client.capabilities(), "CAPS 1 PIPELINE GET LIST DROP PUT BLAKE3");
    client.ask("DEFLATE", "DEFLATE ERR (not allowed)");
    client.ask("LIST <>", "LIST SIZE 0 END");
    buffer.reload("idle_timeout 10s\n");
    converse(buffer.connect());
}

/// A line whose bytes are kept.
pub(crate) struct Tapped {
    pub(crate) address: SocketAddr,
    /// What the server has sent.
    pub(crate) carried: Arc<Mutex<Vec<u8>>>,
}

impl Tapped {
    /// To `server`. The first connections are cut once they have carried some bytes of the server's: the first hundred, then
    /// more and more.
    pub(crate) fn new(server: SocketAddr, cuts: usize) -> Self {
        let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
        let (address, carried) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let line = Arc::clone(&carried);
        thread::spawn(move || {
            for (number, near) in listener.incoming().flatten().enumerate() {
                let Ok(far) = TcpStream::connect(server) else { continue };
                let most = if number < cuts { 100 << number } else { usize::MAX };
                let (near_out, far_out) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                thread::spawn(move || carry(near, far_out, usize::MAX, &Mutex::default()));
                let line = Arc::clone(&line);
                thread::spawn(move || carry(far, near_out, most, &line));
            }
        });
        Self { address, carried }
    }
}

/// Until the end, or until so many bytes were carried: then both directions break off.
fn carry(mut from: TcpStream, mut to: TcpStream, most: usize, carried: &Mutex<Vec<u8>>) {
    let (mut block, mut count) = ([0; 4_096], 0);
    while let Ok(read @ 1..) = from.read(&mut block) {
        let read = read.min(most - count);
        carried.lock().unwrap().extend_from_slice(&block[..read]);
        count += read;
        if to.write_all(&block[..read]).is_err() || count == most {
            break;
        }
    }
    let _ = to.shutdown(if count == most { Shutdown::Both } else { Shutdown::Write });
    if count == most {
        let _ = from.shutdown(Shutdown::Both);
    }
}

fn count(daemon: &Daemon, what: &str) -> usize {
    daemon.log().matches(what).count()
}

/// Puts files into the storage, each by a rename.
fn put(buffer: &Buffer, prefix: &str, files: usize) -> Files {
    let beside = scratch();
    let files = fill(beside.path(), &AgentFiles { prefix: prefix.into(), agents: 10, seed: 1 }, files);
    for name in files.keys() {
        let [staged, whole] = ["staged".as_ref(), name.as_path()].map(|name| buffer.storage().join(name));
        fs::copy(beside.path().join(name), &staged).unwrap();
        fs::rename(staged, whole).unwrap();
    }
    files
}

fn wait_for(sandbox: &Sandbox, buffer: &Buffer, all: &Files) {
    wait_until("all files", || is_emptied(&buffer.storage()).then_some(()));
    wait_until("all files to be published", || (sandbox.spool().len() == all.len()).then_some(()));
    sandbox.assert_holds(all);
}

#[test]
fn a_site_is_collected_from_compressed_from_one_reload_to_the_next() {
    let buffer = Buffer::start("idle_timeout 10s\n");
    let line = Tapped::new(buffer.address(), 0);
    let lines =
        |compression: bool| [site_config("plant", line.address, &format!("interval = 1\ncompression = {compression}"))];
    let sandbox = Sandbox::with_sites(lines(true));
    let daemon = sandbox.start();
    daemon.wait_for_line(&["INFO", "site=plant", COMPRESSES]);
    let mut all = put(&buffer, "first", 200);
    wait_for(&sandbox, &buffer, &all);
    let is_readable = |carried: &[u8]| carried.windows(10).any(|bytes| bytes == b"</module>\n");
    let carried = std::mem::take(&mut *line.carried.lock().unwrap());
    let size: usize = all.values().map(Vec::len).sum();
    assert!(!is_readable(&carried) && carried.len() < size / 4, "{} bytes for {size}", carried.len());
    for (compression, prefix) in [(false, "second"), (true, "third")] {
        sandbox.configure("", lines(compression));
        let before = count(&daemon, " speaks the extension");
        daemon.signal(Signal::HUP);
        wait_until("it to be asked anew", || (count(&daemon, " speaks the extension") > before).then_some(()));
        line.carried.lock().unwrap().clear();
        all.extend(put(&buffer, prefix, 50));
        wait_for(&sandbox, &buffer, &all);
        assert_eq!(is_readable(&line.carried.lock().unwrap()), !compression);
    }
    assert_eq!((count(&daemon, COMPRESSES), count(&daemon, DOES_NOT_COMPRESS)), (2, 0), "{}", daemon.log());
}

#[test]
fn a_server_that_does_not_compress_is_collected_from_without_which_is_logged_once() {
    let buffer = Buffer::start("idle_timeout 10s\ncompression 0\n");
    let sandbox = Sandbox::with_sites([site_config(
        "plant",
        buffer.address(),
        "interval = 1\nkeep_open = 0\ncompression = true",
    )]);
    let daemon = sandbox.start();
    let mut all = Files::new();
    for prefix in ["first", "second", "third"] {
        all.extend(put(&buffer, prefix, 20));
        wait_for(&sandbox, &buffer, &all);
    }
    daemon.wait_for_line(&["INFO", "site=plant", DOES_NOT_COMPRESS, "compression 0"]);
    assert_eq!((count(&daemon, COMPRESSES), count(&daemon, DOES_NOT_COMPRESS)), (0, 1), "{}", daemon.log());
    buffer.reload("idle_timeout 10s\n");
    daemon.wait_for_line(&["INFO", "site=plant", COMPRESSES]);
}

#[test]
fn compressed_connections_that_are_cut_anywhere_lose_and_double_nothing() {
    let certificates = Certificates::new();
    for access in [Access::Plain, Access::Tls] {
        let options = if access == Access::Tls { Options::usual().tls(&certificates) } else { Options::usual() };
        let buffer = Buffer::with(options, "idle_timeout 10s\n");
        let all = put(&buffer, "cut", 400);
        let line = Tapped::new(buffer.address(), 12);
        let settings = format!("interval = 1\nretries = 20\ncompression = true\n{}", access.lines(&certificates));
        let sandbox = Sandbox::with_sites([site_config("plant", line.address, &settings)]);
        let _daemon = sandbox.start();
        wait_for(&sandbox, &buffer, &all);
    }
}
