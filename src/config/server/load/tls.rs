//! How clients speak TLS to us.

use super::super::key::Key;
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

fn passphrase(reader: &mut Reader<'_>, ask: bool) -> Passphrase {
    if ask {
        return Passphrase::Ask;
    }
    if reader.has(Key::SslPassword)
        && let Some(said) = reader.find(Key::SslPasswordFile)
    {
        reader.error(&said, "there is ssl_password too; one of them is enough, remove the other");
        return Passphrase::None;
    }
    let known = reader.secret_in_file(Key::SslPasswordFile).or_else(|| password(reader, Key::SslPassword));
    known.map_or(Passphrase::None, Passphrase::Known)
}
