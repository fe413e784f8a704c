use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::time::Duration;

use crate::tls::test_pki::{Authority, Identity, StockClients, stock_tls};
use crate::tls::testing::*;
use crate::tls::{
    AlertDescription, ClientCertPolicy, Connector, Handshake, IdentitySettings, Received, Sent, Stream, StreamError,
    TlsFailure, TlsSettings, TlsStream, Transport, Verify,
};

/// Two connected sockets: the one to be made a pipe, and its peer.
fn sockets() -> (mio::net::TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    near.set_nodelay(true).unwrap();
    let (far, _) = listener.accept().unwrap();
    (mio_stream(near), far)
}

fn mio_stream(stream: TcpStream) -> mio::net::TcpStream {
    stream.set_nonblocking(true).unwrap();
    mio::net::TcpStream::from_std(stream)
}

fn connector(pki: &Authority, identity: Option<&Identity>) -> Connector {
    let files = Files::new();
    let identity = identity.map(|issued| IdentitySettings {
        cert: files.add("cert.pem", &issued.certificate_pem),
        key: files.add("key.pem", &issued.key_pem),
        passphrase: None,
    });
    let ca = Some(files.add("ca.pem", pki.certificate_pem()));
    Connector::new(&TlsSettings { ca, identity, verify: Verify::ChainAndName, offer: ClientCertPolicy::Auto }, now())
        .unwrap()
}

/// A client's and a server's pipe over TLS, before the handshake.
fn tls_pair(pki: &Authority, clients: StockClients<'_>, identity: Option<&Identity>) -> (Stream, Stream) {
    let acceptor = stock_tls(&pki.server([127, 0, 0, 1].into()).unwrap(), clients).unwrap();
    let (near, far) = sockets();
    let client = connector(pki, identity).connect("127.0.0.1", true).unwrap();
    (Stream::tls(near, client, true), Stream::tls(mio_stream(far), acceptor.accept().unwrap(), false))
}

fn plain_pair() -> (Stream, Stream) {
    let (near, far) = sockets();
    (Stream::plain(near, true), Stream::plain(mio_stream(far), false))
}

/// Calls `step` until it has a result; both ends live in this thread, so what does not come at once comes soon: where the
/// kernel waits for an acknowledgement (Nagle's algorithm), after 40 ms.
fn eventually<T>(mut step: impl FnMut() -> Option<T>) -> T {
    for _ in 0..100_000 {
        if let Some(result) = step() {
            return result;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    panic!("nothing came of it");
}

fn shake_hands(client: &mut Stream, server: &mut Stream) {
    eventually(|| {
        let done = client.handshake().unwrap() == Handshake::Done;
        (server.handshake().unwrap() == Handshake::Done && done).then_some(())
    });
}

fn established(pki: &Authority) -> (Stream, Stream) {
    let (mut client, mut server) = tls_pair(pki, StockClients::Anyone, None);
    shake_hands(&mut client, &mut server);
    (client, server)
}

fn both_kinds() -> [(Stream, Stream); 2] {
    [plain_pair(), established(&Authority::new("CA").unwrap())]
}

/// The next bytes or the end, `max` bytes at a time.
fn next(stream: &mut Stream, max: usize) -> Result<Vec<u8>, StreamError> {
    let mut scratch = [0; 4096];
    eventually(|| {
        let mut bytes = Vec::new();
        let received = stream.read(max, &mut scratch, |shown| {
            bytes.extend_from_slice(shown);
            shown.len()
        });
        match received {
            Ok(Received::WouldBlock | Received::Bytes(0)) => None,
            Ok(Received::Eof { .. }) => Some(Ok(Vec::new())),
            Ok(Received::Bytes(_)) => Some(Ok(bytes)),
            Err(error) => Some(Err(error)),
        }
    })
}

fn send(stream: &mut Stream, bytes: &[u8]) {
    assert_eq!(stream.write(bytes).unwrap(), Sent::Bytes(bytes.len()));
    assert!(stream.flush().unwrap());
}

#[test]
fn what_one_end_writes_the_other_reads_no_more_at_a_time_than_it_asked_for() {
    for (mut client, mut server) in both_kinds() {
        send(&mut client, b"RECV a.data\n");
        let mut line = Vec::new();
        while line.len() < 12 {
            let piece = next(&mut server, 5).unwrap();
            assert!(piece.len() <= 5);
            line.extend(piece);
        }
        assert_eq!(line, b"RECV a.data\n");
        assert!(!server.has_buffered());
        send(&mut server, b"RECV SIZE 3\n");
        assert_eq!(next(&mut client, 100).unwrap(), b"RECV SIZE 3\n");
    }
}

#[test]
fn what_was_shown_but_not_taken_is_kept_counts_as_ready_and_comes_again() {
    for (mut client, mut server) in both_kinds() {
        send(&mut server, b"line\nbody");
        let mut scratch = [0; 64];
        eventually(|| (client.read(64, &mut scratch, |_| 5).unwrap() == Received::Bytes(5)).then_some(()));
        assert!(client.has_buffered());
        assert_eq!(client.read(64, &mut scratch, |_| 0).unwrap(), Received::Bytes(0));
        assert_eq!(next(&mut client, 2).unwrap(), b"bo");
        assert!(client.has_buffered());
        assert_eq!(next(&mut client, 64).unwrap(), b"dy");
        assert!(!client.has_buffered());
        assert_eq!(client.read(64, &mut scratch, |_| 0).unwrap(), Received::WouldBlock);
    }
}

#[test]
fn nothing_beyond_what_is_wanted_leaves_a_plain_socket() {
    let (near, mut far) = sockets();
    let mut stream = Stream::plain(near, false);
    far.write_all(b"body and more").unwrap();
    assert_eq!(next(&mut stream, 4).unwrap(), b"body");
    assert!(!stream.has_buffered());
    let mut rest = [0; 64];
    let count = eventually(|| stream.tcp().peek(&mut rest).ok());
    assert_eq!(&rest[..count], b" and more");
}

#[test]
fn the_end_is_the_end_with_or_without_goodbye() {
    for goodbye in [true, false] {
        for (mut client, mut server) in both_kinds() {
            send(&mut server, b"last");
            if goodbye {
                server.close();
                assert!(server.flush().unwrap());
            }
            server.shutdown_write().unwrap();
            assert_eq!(next(&mut client, 64).unwrap(), b"last");
            assert_eq!(next(&mut client, 64).unwrap(), b"");
            assert_eq!(next(&mut client, 64).unwrap(), b"", "and stays so");
        }
    }
}

#[test]
fn a_peer_that_does_not_read_stops_the_writer_and_all_arrives_in_the_end() {
    for (mut client, mut server) in both_kinds() {
        let block: Vec<u8> = (0_u32..50_000).map(|number| number.to_le_bytes()[0] ^ 0x5a).collect();
        let mut sent = Vec::new();
        while let Sent::Bytes(count) = client.write(&block).unwrap() {
            sent.extend_from_slice(&block[..count]);
            assert!(sent.len() < 64 << 20, "the pipe buffers without end");
        }
        let mut received = Vec::new();
        while received.len() < sent.len() {
            client.flush().unwrap();
            received.extend(next(&mut server, 100_000).unwrap());
        }
        assert!(!client.wants_write());
        assert!(received == sent, "{} bytes were altered", sent.len());
    }
}

#[test]
fn each_write_is_one_record() {
    let pki = Authority::new("CA").unwrap();
    let (mut client, server) = established(&pki);
    // The server's TLS is read past: the records themselves are wanted.
    let mut far = TcpStream::from(server.tcp().as_fd().try_clone_to_owned().unwrap());
    far.set_nonblocking(false).unwrap();
    for command in [&b"RECV a.data\n"[..], b"RECV OK\n"] {
        send(&mut client, command);
        let mut record = [0; 1024];
        let count = far.read(&mut record).unwrap();
        assert_eq!(record[0], 0x17, "application data");
        assert_eq!(usize::from(u16::from_be_bytes([record[3], record[4]])), count - 5, "one record, whole");
        assert_eq!(count - 5, command.len() + 17, "type and tag of TLS 1.3");
    }
    assert_eq!(client.write(&vec![0; 100_000]).unwrap(), Sent::Bytes(16_384), "as much as fits into one");
}

#[test]
fn the_peer_is_described_once_the_handshake_is_done() {
    let pki = Authority::new("CA").unwrap();
    let (mut client, mut server) = tls_pair(&pki, StockClients::Anyone, None);
    assert_eq!(client.peer(), None);
    shake_hands(&mut client, &mut server);
    let peer = client.peer().unwrap();
    assert_eq!((peer.version, peer.resumed), ("TLS 1.3", false));
    assert!(peer.cipher_suite.starts_with("TLS13_"), "{}", peer.cipher_suite);
    let certificate = peer.certificate.unwrap();
    assert_eq!((certificate.subject.as_str(), certificate.issuer.as_str()), ("CN=127.0.0.1", "CN=CA"));
    assert_eq!(plain_pair().0.peer(), None);
}

/// A handshake with a server, done as far as the client can see; what becomes of its first question.
fn first_answer(clients: StockClients<'_>, pki: &Authority, identity: Option<&Identity>) -> Result<(), StreamError> {
    let (mut client, mut server) = tls_pair(pki, clients, identity);
    eventually(|| {
        let _ = server.handshake();
        client.handshake().map_or_else(|error| Some(Err(error)), |state| (state == Handshake::Done).then_some(Ok(())))
    })?;
    // What the server thinks of it arrives later.
    eventually(|| (server.handshake() != Ok(Handshake::WantMore)).then_some(()));
    let _ = server.write(b"RECV SIZE 3\n");
    next(&mut client, 64).map(drop)
}

#[test]
fn a_client_certificate_refused_after_the_handshake_is_told_as_such_on_the_first_read() {
    let pki = Authority::new("CA").unwrap();
    let identity = pki.client("sync").unwrap();
    let asked = StockClients::AnyoneOrWellKnown;
    let error = first_answer(asked, &pki, Some(&identity)).unwrap_err();
    assert!(error.client_certificate_refused(), "{error}");
    assert_eq!(error, TlsFailure::ClientCertificateRefused(AlertDescription::UnknownCA).into());
    assert_eq!(first_answer(asked, &pki, None), Ok(()), "without it, all is well");
    let demanded = StockClients::SignedBy(&pki);
    assert_eq!(first_answer(demanded, &pki, Some(&identity)), Ok(()));
    assert_eq!(
        first_answer(demanded, &pki, None),
        Err(TlsFailure::ClientCertificateDemanded(AlertDescription::CertificateRequired).into())
    );
}

/// A client's error for a peer that answers the first message of TLS like this and hangs up.
fn answered(answer: &[u8]) -> StreamError {
    let pki = Authority::new("CA").unwrap();
    let (near, mut far) = sockets();
    let mut client = Stream::tls(near, connector(&pki, None).connect("127.0.0.1", false).unwrap(), false);
    assert_eq!(client.handshake(), Ok(Handshake::WantMore));
    assert!(far.read(&mut [0; 4096]).unwrap() > 100);
    far.write_all(answer).unwrap();
    drop(far);
    eventually(|| client.handshake().err())
}

#[test]
fn a_peer_that_resets_the_handshake_has_hung_up() {
    let pki = Authority::new("CA").unwrap();
    let (near, far) = sockets();
    let mut client = Stream::tls(near, connector(&pki, None).connect("127.0.0.1", false).unwrap(), false);
    assert_eq!(client.handshake(), Ok(Handshake::WantMore));
    eventually(|| (far.peek(&mut [0; 64]).unwrap() > 0).then_some(()));
    drop(far);
    assert_eq!(eventually(|| client.handshake().err()), TlsFailure::ClosedInHandshake.into());
}

#[test]
fn a_peer_without_tls_is_told_from_one_that_has_nothing_in_common_with_us() {
    use crate::tls::Missing;
    assert_eq!(answered(b""), TlsFailure::ClosedInHandshake.into());
    assert_eq!(answered(b"\x16\x03\x03"), TlsFailure::ClosedInHandshake.into());
    assert_eq!(answered(b"RECV ERR (unknown)\n"), TlsFailure::NotTls.into());
    assert_eq!(answered(b"HTTP/1.0 400 Bad Request\r\n\r\n"), TlsFailure::NotTls.into());
    assert_eq!(answered(b"SSH-2.0-OpenSSH_9.2\r\n"), TlsFailure::NotTls.into());
    let alert = |code| [0x15, 3, 3, 0, 2, 2, code];
    assert_eq!(answered(&alert(40)), TlsFailure::NothingInCommon(Missing::Algorithm, None).into());
    assert_eq!(answered(&alert(70)), TlsFailure::NothingInCommon(Missing::Version, None).into());
}

#[test]
fn a_server_that_chooses_what_we_do_not_have_is_quoted() {
    let old = answered(&server_hello(0x0301, 0x0035)).to_string();
    assert!(old.contains("neither TLS 1.2 nor TLS 1.3"), "{old}");
    assert!(old.ends_with(". The peer chose TLS 1.0 with TLS_RSA_WITH_AES_256_CBC_SHA"), "{old}");
    let odd = answered(&server_hello(0x0303, 0x009e)).to_string();
    assert!(odd.contains("no algorithm in common"), "{odd}");
    assert!(odd.ends_with(". The peer chose TLS 1.2 with TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"), "{odd}");
}

#[test]
fn what_came_before_a_failure_is_handed_out_first() {
    let pki = Authority::new("CA").unwrap();
    let (mut client, mut server) = established(&pki);
    send(&mut server, b"whole");
    send(&mut server, b" and more");
    server.tcp().write_all(b"\x17\x03\x03\x00\x20 these bytes are not encrypted  ").unwrap();
    // Both have to lie in the socket for one read to bring them.
    eventually(|| (client.tcp().peek(&mut [0; 256]).is_ok_and(|count| count > 37 + 22 + 26)).then_some(()));
    assert_eq!(next(&mut client, 3).unwrap(), b"who");
    assert_eq!(next(&mut client, 64).unwrap(), b"le");
    assert_eq!(next(&mut client, 64).unwrap(), b" and more");
    for _ in 0..2 {
        assert!(matches!(next(&mut client, 64), Err(StreamError::Tls(TlsFailure::Broken(_)))));
    }
}

#[test]
fn tls_where_plain_tentacle_was_expected_shows() {
    use crate::tls::looks_like_tls;
    assert!(looks_like_tls(&[0x15, 3, 3, 0, 2, 2, 10]));
    assert!(!looks_like_tls(b"RECV SIZE 3\n"));
    assert!(!looks_like_tls(b""));
}

/// A socket that takes one byte at a time.
struct Narrow {
    incoming: io::Cursor<&'static [u8]>,
    taken: Vec<u8>,
}

impl Read for Narrow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.incoming.read(buffer)
    }
}

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.taken.extend(bytes.first());
        Ok(bytes.len().min(1))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Narrow {
    fn peek(&self, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
}

#[test]
fn the_alert_that_says_why_leaves_whole_though_the_socket_takes_it_in_pieces() {
    let pki = Authority::new("CA").unwrap();
    let acceptor = stock_tls(&pki.server([127, 0, 0, 1].into()).unwrap(), StockClients::Anyone).unwrap();
    let socket = Narrow { incoming: io::Cursor::new(b"LS <>\n, and no TLS"), taken: Vec::new() };
    let mut stream = TlsStream::new(socket, acceptor.accept().unwrap().into());
    stream.handshake().unwrap_err();
    let fatal_alert = [21, 3, 3, 0, 2, 2];
    assert_eq!(stream.socket().taken.len(), fatal_alert.len() + 1);
    assert_eq!(stream.socket().taken[..6], fatal_alert);
}
