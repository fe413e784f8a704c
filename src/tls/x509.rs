//! X.509 certificates, as far as we look into them ourselves.
//!
//! webpki judges ordinary certificates; this reader serves the shapes webpki will not touch and what is shown to people.
//! It is strict DER (the `der` crate's), and everything it hands out is a slice of its input.
//!
//! `x509-cert` does not serve: it keeps no slice of the signed bytes, and encodes them anew to verify a signature,
//! which fails for certificates that are not quite DER (<https://github.com/RustCrypto/formats/issues/1584>); nor does
//! it hold a version to the fields that it may have.

use std::fmt;
use std::time::Duration;

use der::asn1::{AnyRef, BitStringRef, GeneralizedTime, IntRef, ObjectIdentifier, UtcTime};
use der::{Decode, Header, Reader, SliceReader, Tag, TagNumber};
use rustls::pki_types::{SubjectPublicKeyInfoDer, UnixTime};

use super::certificate_problem::Irregularity;
use super::dn::{self, Name};

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// The edition of X.509 a certificate is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Without extensions: what `openssl x509 -req` makes when no extension file is given.
    V1,
    /// With unique identifiers; nobody makes these.
    V2,
    /// With extensions.
    V3,
}

/// What a peer uses its certificate for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be a TLS server.
    Server,
    /// To be a TLS client.
    Client,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Client => "client",
        })
    }
}

/// When a certificate counts, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: UnixTime,
    /// The last second.
    pub not_after: UnixTime,
}

impl Validity {
    /// Whether `now` lies within.
    pub fn covers(&self, now: UnixTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    fn decode(reader: &mut SliceReader<'_>) -> der::Result<Self> {
        reader.sequence(|fields| Ok(Self { not_before: time(fields)?, not_after: time(fields)? }))
    }
}

/// A certificate's parts. Slices named after an ASN.1 type hold its whole encoding, tag and length included.
#[derive(Clone, Debug)]
pub(super) struct Certificate<'a> {
    pub(super) version: Version,
    /// What is signed.
    pub(super) tbs: &'a [u8],
    /// The signature's algorithm as the signed part names it.
    pub(super) inner_algorithm: &'a [u8],
    pub(super) issuer: &'a [u8],
    pub(super) validity: Validity,
    pub(super) subject: &'a [u8],
    pub(super) public_key: &'a [u8],
    pub(super) extensions: Option<&'a [u8]>,
    /// The signature's algorithm as named outside of what is signed.
    pub(super) outer_algorithm: &'a [u8],
    /// The signature's bits.
    pub(super) signature: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// Reads one certificate that fills `der` to its last byte.
    pub(super) fn parse(der: &'a [u8]) -> der::Result<Self> {
        let mut reader = SliceReader::new(der)?;
        let certificate = reader.sequence(|fields| {
            let tbs = sequence_bytes(fields)?;
            let outer_algorithm = sequence_bytes(fields)?;
            let signature = BitStringRef::decode(fields)?;
            let signature = signature
                .as_bytes()
                .ok_or_else(|| fields.error(der::ErrorKind::Noncanonical { tag: Tag::BitString }))?;
            Self::parse_signed(tbs, outer_algorithm, signature)
        })?;
        reader.finish()?;
        Ok(certificate)
    }

    /// The key in a certificate of any shape, as long as its fields are where they belong: whatever else is irregular
    /// about it, its holder can prove to hold the key.
    pub(super) fn key_of(der: &'a [u8]) -> der::Result<&'a [u8]> {
        let mut reader = SliceReader::new(der)?;
        let tbs = reader.sequence(|fields| {
            let tbs = sequence_bytes(fields)?;
            sequence_bytes(fields)?;
            BitStringRef::decode(fields)?;
            Ok::<_, der::Error>(tbs)
        })?;
        reader.finish()?;
        SliceReader::new(tbs)?.sequence(|fields| {
            if Tag::peek(fields)? == context(0) {
                fields.tlv_bytes()?;
            }
            fields.tlv_bytes()?;
            // The signature's algorithm, issuer, validity, subject.
            for _ in 0..4 {
                sequence_bytes(fields)?;
            }
            let key = sequence_bytes(fields)?;
            let rest = fields.remaining_len();
            fields.drain(rest)?;
            Ok(key)
        })
    }

    fn parse_signed(tbs: &'a [u8], outer_algorithm: &'a [u8], signature: &'a [u8]) -> der::Result<Self> {
        let mut reader = SliceReader::new(tbs)?;
        let certificate = reader.sequence(|fields| {
            let version = version(fields)?;
            IntRef::decode(fields)?;
            let inner_algorithm = sequence_bytes(fields)?;
            let issuer = sequence_bytes(fields)?;
            let validity = Validity::decode(fields)?;
            let subject = sequence_bytes(fields)?;
            let public_key = sequence_bytes(fields)?;
            let extensions = match version {
                Version::V1 => None,
                Version::V2 | Version::V3 => later_fields(fields)?,
            };
            Ok::<_, der::Error>(Self {
                version,
                tbs,
                inner_algorithm,
                issuer,
                validity,
                subject,
                public_key,
                extensions,
                outer_algorithm,
                signature,
            })
        })?;
        reader.finish()?;
        Ok(certificate)
    }

    /// Whether it names itself as its issuer.
    pub(super) fn is_self_issued(&self) -> bool {
        dn::is_same(self.issuer, self.subject)
    }

    /// The subject, for people.
    pub(super) fn subject_text(&self) -> String {
        Name::text(self.subject)
    }

    /// The issuer, for people.
    pub(super) fn issuer_text(&self) -> String {
        Name::text(self.issuer)
    }

    /// The key, as webpki and rustls take it.
    pub(super) fn key(&self) -> SubjectPublicKeyInfoDer<'a> {
        SubjectPublicKeyInfoDer::from(self.public_key)
    }

    /// The kind of a key: the contents of the AlgorithmIdentifier.
    pub(super) fn kind_of_key(public_key: &[u8]) -> der::Result<&[u8]> {
        let mut reader = SliceReader::new(public_key)?;
        reader.sequence(|fields| {
            let algorithm = sequence_bytes(fields)?;
            let rest = fields.remaining_len();
            fields.drain(rest)?;
            contents(algorithm)
        })
    }

    /// What keeps [`Certificate::parse`] from reading a certificate that [`Certificate::key_of`] finds a key in, as far
    /// as it is something that others take.
    pub(super) fn irregularity(der: &[u8]) -> Option<Irregularity> {
        let tbs =
            contents(SliceReader::new(contents(der).ok()?).and_then(|mut fields| fields.tlv_bytes()).ok()?).ok()?;
        let mut fields = SliceReader::new(tbs).ok()?;
        let says_version = Tag::peek(&fields).ok()? == context(0);
        if says_version && fields.tlv_bytes().ok()?.last() == Some(&0) {
            return Some(Irregularity::ExplicitVersion1);
        }
        // Serial number, algorithm, issuer.
        for _ in 0..3 {
            fields.tlv_bytes().ok()?;
        }
        let not_before = contents(fields.tlv_bytes().ok()?).ok()?;
        if SliceReader::new(not_before).and_then(|mut dates| time(&mut dates)).is_err() {
            return is_before_unix(not_before).then_some(Irregularity::BeforeUnix);
        }
        // Subject, key.
        for _ in 0..2 {
            fields.tlv_bytes().ok()?;
        }
        (!says_version && !fields.is_finished()).then_some(Irregularity::ExtensionsWithoutVersion)
    }
}

/// The size of an RSA key in bits, `None` for any other kind of key.
pub(super) fn rsa_bits(public_key: &[u8]) -> Option<usize> {
    let mut reader = SliceReader::new(public_key).ok()?;
    let modulus_bytes = reader
        .sequence(|fields| {
            let algorithm = fields.sequence(|algorithm| {
                let id = ObjectIdentifier::decode(algorithm)?;
                let rest = algorithm.remaining_len();
                algorithm.drain(rest)?;
                Ok::<_, der::Error>(id)
            })?;
            let key = BitStringRef::decode(fields)?;
            if algorithm != RSA_ENCRYPTION {
                return Ok(None);
            }
            let mut key = SliceReader::new(key.raw_bytes())?;
            key.sequence(|numbers| {
                let modulus = numbers.decode::<der::asn1::UintRef<'_>>()?;
                let rest = numbers.remaining_len();
                numbers.drain(rest)?;
                Ok::<_, der::Error>(Some(modulus.as_bytes().to_vec()))
            })
        })
        .ok()??;
    let leading = modulus_bytes.first()?.leading_zeros() as usize;
    Some(modulus_bytes.len() * 8 - leading)
}

/// What is inside an encoding: its bytes without tag and length.
pub(super) fn contents(der: &[u8]) -> der::Result<&[u8]> {
    Ok(AnyRef::from_der(der)?.value())
}

/// The next element, which has to be a SEQUENCE, with tag and length.
fn sequence_bytes<'a>(reader: &mut SliceReader<'a>) -> der::Result<&'a [u8]> {
    Tag::peek(reader)?.assert_eq(Tag::Sequence)?;
    reader.tlv_bytes()
}

/// Version 1 is the default, and DER leaves defaults out: it must not be spelled.
fn version(reader: &mut SliceReader<'_>) -> der::Result<Version> {
    if Tag::peek(reader)? != context(0) {
        return Ok(Version::V1);
    }
    let header = Header::decode(reader)?;
    let number = reader.read_nested(header.length(), u8::decode)?;
    match number {
        1 => Ok(Version::V2),
        2 => Ok(Version::V3),
        _ => Err(reader.error(der::ErrorKind::Value { tag: Tag::Integer })),
    }
}

/// The fields that came with versions 2 and 3: unique identifiers, skipped, and extensions.
fn later_fields<'a>(reader: &mut SliceReader<'a>) -> der::Result<Option<&'a [u8]>> {
    let mut extensions = None;
    while !reader.is_finished() {
        if Tag::peek(reader)? == context(3) {
            let header = Header::decode(reader)?;
            extensions = Some(reader.read_nested(header.length(), sequence_bytes)?);
            break;
        }
        reader.tlv_bytes()?;
    }
    Ok(extensions)
}

fn context(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

/// Whether a date is a UTCTime of the years 1950 to 1969, or an earlier GeneralizedTime.
fn is_before_unix(der: &[u8]) -> bool {
    match der {
        [0x17, _, b'5' | b'6', ..] => true,
        [0x18, _, year @ ..] => year.get(..4).is_some_and(|year| year < &b"1970"[..]),
        _ => false,
    }
}

fn time(reader: &mut SliceReader<'_>) -> der::Result<UnixTime> {
    let since_epoch: Duration = match Tag::peek(reader)? {
        Tag::UtcTime => UtcTime::decode(reader)?.to_unix_duration(),
        _ => GeneralizedTime::decode(reader)?.to_unix_duration(),
    };
    Ok(UnixTime::since_unix_epoch(since_epoch))
}
