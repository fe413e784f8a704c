//! The TLS settings for clients.

use super::super::key::Key;
use super::super::raw_option::RawOption;
use super::super::reader::{self, Reader};
use super::super::settings::{Passphrase, ServerTls};
use super::password;

/// `None` for plain TCP: it is the certificate that turns TLS on.
pub(super) fn read(reader: &mut Reader<'_>, ask_passphrase: bool) -> Option<ServerTls> {
    if !reader.has(Key::SslCert) {
        for key in [Key::SslKeyFile, Key::SslCa, Key::SslVersion, Key::SslCipher] {
            if let Some(said) = reader.find(key) {
                let message = "has no effect without ssl_cert (-e): clients speak plain TCP";
                reader.warn(&said, message);
            }
        }
        return None;
    }
    let cert = reader.path(Key::SslCert);
    let key = reader.path(Key::SslKeyFile);
    let client_ca = reader.path(Key::SslCa);
    let passphrase = passphrase(reader, ask_passphrase);
    let versions = reader.read(Key::SslVersion, reader::text);
    let ciphers = reader.read(Key::SslCipher, reader::text);
    let cert = cert?;
    Some(ServerTls { key: key.unwrap_or_else(|| cert.clone()), cert, passphrase, client_ca, versions, ciphers })
}

/// To stock, `ssl_password` is a switch, and 1 asks; no passphrase is as short as that. Here, any other value but 0 is the
/// passphrase itself, and a file with it is an answer to who asks.
fn passphrase(reader: &mut Reader<'_>, ask: bool) -> Passphrase {
    if ask {
        return Passphrase::Ask;
    }
    let in_file = reader.find(Key::SslPasswordFile);
    let said = reader.find(Key::SslPassword);
    match (said.as_ref().map(RawOption::value), in_file) {
        (Some(b"1"), None) => return Passphrase::Ask,
        (Some(b"0"), None) => return Passphrase::None,
        (Some(b"0" | b"1") | None, _) | (Some(_), None) => {}
        (Some(_), Some(in_file)) => {
            reader.error(&in_file, "there is ssl_password too; one of them is enough, remove the other");
            return Passphrase::None;
        }
    }
    let known = reader.secret_in_file(Key::SslPasswordFile).or_else(|| password(reader, Key::SslPassword));
    known.map_or(Passphrase::None, Passphrase::Known)
}
