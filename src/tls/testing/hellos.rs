//! First messages of TLS, byte by byte.

/// The record of a client's first message: its version, suites, and the versions of the extension, if there are any.
pub(crate) fn client_hello(version: u16, suites: &[u16], versions: &[u16]) -> Vec<u8> {
    let list = |values: &[u16]| values.iter().flat_map(|value| value.to_be_bytes()).collect::<Vec<_>>();
    let prefixed = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let mut body = [&version.to_be_bytes()[..], &[7; 32], &[0], &prefixed(&list(suites)), &[1, 0]].concat();
    if !versions.is_empty() {
        let versions = list(versions);
        let value = [&[u8::try_from(versions.len()).unwrap()], &versions[..]].concat();
        body.extend(prefixed(&[&43u16.to_be_bytes()[..], &prefixed(&value)].concat()));
    }
    handshake(1, &body)
}

/// The record of a server's first message.
pub(crate) fn server_hello(version: u16, suite: u16) -> Vec<u8> {
    handshake(2, &[&version.to_be_bytes()[..], &[7; 32], &[0], &suite.to_be_bytes(), &[0]].concat())
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap();
    let message = [&[kind, 0], &length.to_be_bytes()[..], body].concat();
    [&[0x16, 3, 1], &u16::try_from(message.len()).unwrap().to_be_bytes()[..], &message].concat()
}
