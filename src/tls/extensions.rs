//! A certificate's extensions, as far as we look into them ourselves.

use std::net::IpAddr;

use der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};

use super::x509::{Certificate, Purpose};

const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const NAME_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.30");
const DISTRIBUTION_POINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.31");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
const ANY_PURPOSE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");

/// Those that webpki evaluates, or ignores because they have no effect.
const UNDERSTOOD: [ObjectIdentifier; 6] =
    [KEY_USAGE, SUBJECT_ALT_NAME, BASIC_CONSTRAINTS, NAME_CONSTRAINTS, DISTRIBUTION_POINTS, EXTENDED_KEY_USAGE];

/// One extension.
struct Extension<'a> {
    id: ObjectIdentifier,
    critical: bool,
    value: &'a [u8],
}

/// A DNS name, an address of any kind, or a URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AlternativeName {
    /// As people write it.
    pub(super) text: String,
    /// Whether it is a DNS name or an IP address: what a server is known by.
    pub(super) is_of_a_host: bool,
}

impl<'a> Certificate<'a> {
    /// Whether it may vouch for others: basicConstraints with CA:TRUE.
    pub(super) fn is_authority(&self) -> der::Result<bool> {
        self.extension(BASIC_CONSTRAINTS)?.map_or(Ok(false), is_authority)
    }

    /// Whether it has alternative names, whatever they are.
    pub(super) fn has_alternative_names(&self) -> der::Result<bool> {
        Ok(self.extension(SUBJECT_ALT_NAME)?.is_some())
    }

    /// Whether the names it may vouch for are limited, however.
    pub(super) fn limits_names(&self) -> der::Result<bool> {
        Ok(self.extension(NAME_CONSTRAINTS)?.is_some())
    }

    /// The alternative names that are DNS names, addresses of any kind, or URIs.
    pub(super) fn alternative_names(&self) -> der::Result<Vec<AlternativeName>> {
        self.extension(SUBJECT_ALT_NAME)?.map_or(Ok(Vec::new()), alternative_names)
    }

    /// Whether it may be used for this: nothing forbids it.
    pub(super) fn allows(&self, purpose: Purpose) -> der::Result<bool> {
        self.extension(EXTENDED_KEY_USAGE)?.map_or(Ok(true), |usages| allows(usages, purpose))
    }

    /// The value of an extension.
    fn extension(&self, wanted: ObjectIdentifier) -> der::Result<Option<&'a [u8]>> {
        let mut found = None;
        self.for_each_extension(|Extension { id, value, .. }| {
            if id == wanted {
                found = Some(value);
            }
        })?;
        Ok(found)
    }

    /// All of them are read, so that nonsense behind the one that is wanted shows.
    fn for_each_extension(&self, mut look_at: impl FnMut(Extension<'a>)) -> der::Result<()> {
        let Some(extensions) = self.extensions else { return Ok(()) };
        SliceReader::new(extensions)?.sequence(|list| {
            while !list.is_finished() {
                look_at(list.sequence(extension)?);
            }
            Ok::<_, der::Error>(())
        })
    }

    /// The first extension that has to be understood and is not.
    pub(super) fn misunderstood(&self) -> Option<ObjectIdentifier> {
        let mut found = None;
        self.for_each_extension(|Extension { id, critical, .. }| {
            if critical && found.is_none() && !UNDERSTOOD.contains(&id) {
                found = Some(id);
            }
        })
        .ok()?;
        found
    }
}

fn extension<'a>(fields: &mut SliceReader<'a>) -> der::Result<Extension<'a>> {
    let id = ObjectIdentifier::decode(fields)?;
    let critical = Tag::peek(fields)? == Tag::Boolean && bool::decode(fields)?;
    Ok(Extension { id, critical, value: <&OctetStringRef>::decode(fields)?.as_bytes() })
}

fn is_authority(basic_constraints: &[u8]) -> der::Result<bool> {
    SliceReader::new(basic_constraints)?.sequence(|fields| {
        let authority = !fields.is_finished() && Tag::peek(fields)? == Tag::Boolean && bool::decode(fields)?;
        let rest = fields.remaining_len();
        fields.drain(rest)?;
        Ok(authority)
    })
}

fn allows(key_usages: &[u8], purpose: Purpose) -> der::Result<bool> {
    let wanted = match purpose {
        Purpose::Server => SERVER_AUTH,
        Purpose::Client => CLIENT_AUTH,
    };
    SliceReader::new(key_usages)?.sequence(|list| {
        let mut allowed = false;
        while !list.is_finished() {
            let usage = ObjectIdentifier::decode(list)?;
            allowed |= usage == wanted || usage == ANY_PURPOSE;
        }
        Ok(allowed)
    })
}

/// The kinds of a GeneralName that are text, and the one that is an IP address; others are passed over.
fn alternative_names(general_names: &[u8]) -> der::Result<Vec<AlternativeName>> {
    let mut names = Vec::new();
    SliceReader::new(general_names)?.sequence(|list| {
        while !list.is_finished() {
            let name = AnyRef::decode(list)?;
            let Tag::ContextSpecific { constructed: false, number: TagNumber(kind) } = name.tag() else { continue };
            let text = match kind {
                1 | 2 | 6 => std::str::from_utf8(name.value()).ok().map(str::to_owned),
                7 => ip_address(name.value()),
                _ => None,
            };
            names.extend(text.map(|text| AlternativeName { text, is_of_a_host: matches!(kind, 2 | 7) }));
        }
        Ok::<_, der::Error>(())
    })?;
    Ok(names)
}

fn ip_address(octets: &[u8]) -> Option<String> {
    let four = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    let address = four.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()?;
    Some(address.to_string())
}
