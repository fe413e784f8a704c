//! Distinguished names: who a certificate is about, and who signed it.

use std::fmt::Write as _;

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Reader, SliceReader, Tag, Tagged};

use super::x509::contents;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

const LABELS: &[(ObjectIdentifier, &str)] = &[
    (COMMON_NAME, "CN"),
    (ObjectIdentifier::new_unwrap("2.5.4.6"), "C"),
    (ObjectIdentifier::new_unwrap("2.5.4.7"), "L"),
    (ObjectIdentifier::new_unwrap("2.5.4.8"), "ST"),
    (ObjectIdentifier::new_unwrap("2.5.4.10"), "O"),
    (ObjectIdentifier::new_unwrap("2.5.4.11"), "OU"),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.1"), "emailAddress"),
];

/// A distinguished name's attributes, in the order of its encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(Vec<(ObjectIdentifier, String)>);

impl Name {
    /// Reads a whole `Name` strictly.
    pub(super) fn parse(der: &[u8]) -> der::Result<Self> {
        let mut attributes = Vec::new();
        let mut reader = SliceReader::new(der)?;
        reader.sequence(|rdns| {
            while !rdns.is_finished() {
                relative_name(rdns, &mut attributes)?;
            }
            Ok::<_, der::Error>(())
        })?;
        reader.finish()?;
        Ok(Self(attributes))
    }

    /// A name for people; one that cannot be read is shown as unreadable.
    pub(super) fn text(der: &[u8]) -> String {
        Self::parse(der).map_or_else(|_| "(unreadable name)".to_owned(), |name| name.to_string())
    }

    /// The most specific common name.
    pub(super) fn common_name(&self) -> Option<&str> {
        self.0.iter().rev().find(|(id, _)| *id == COMMON_NAME).map(|(_, value)| value.as_str())
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("(empty name)");
        }
        for (index, (id, value)) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            match LABELS.iter().find(|(known, _)| known == id) {
                Some((_, label)) => write!(f, "{label}=")?,
                None => write!(f, "{id}=")?,
            }
            // A certificate is the peer's to write: nothing in it may steer a terminal or forge a log line.
            value
                .chars()
                .try_for_each(|c| if c.is_control() { write!(f, "{}", c.escape_default()) } else { f.write_char(c) })?;
        }
        Ok(())
    }
}

/// Whether two names are one by RFC 5280, section 7.1: in whichever string type, in upper or lower case, with more or
/// fewer blanks. Of what is no text, all bytes count.
pub(super) fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one == other {
        return true;
    }
    let canonical = |der| contents(der).and_then(canonical);
    matches!((canonical(one), canonical(other)), (Ok(one), Ok(other)) if one == other)
}

/// The same of names without their tag and length.
pub(super) fn is_same_inside(one: &[u8], other: &[u8]) -> bool {
    one == other || matches!((canonical(one), canonical(other)), (Ok(one), Ok(other)) if one == other)
}

/// The sets of a name, each in order, as they are compared.
fn canonical(rdns: &[u8]) -> der::Result<Vec<Vec<(ObjectIdentifier, Value)>>> {
    let mut reader = SliceReader::new(rdns)?;
    let mut sets = Vec::new();
    while !reader.is_finished() {
        let mut set = SliceReader::new(contents(reader.tlv_bytes()?)?)?;
        let mut members = Vec::new();
        while !set.is_finished() {
            members.push(set.sequence(|pair| {
                let id = ObjectIdentifier::decode(pair)?;
                Ok::<_, der::Error>((id, canonical_value(pair.tlv_bytes()?)?))
            })?);
        }
        members.sort();
        sets.push(members);
    }
    Ok(sets)
}

/// An attribute's value as it is compared.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Text(String),
    /// Its whole encoding.
    Other(Vec<u8>),
}

fn canonical_value(der: &[u8]) -> der::Result<Value> {
    let value = AnyRef::from_der(der)?;
    Ok(match value.tag() {
        Tag::PrintableString | Tag::Utf8String | Tag::TeletexString | Tag::BmpString | Tag::Ia5String => {
            let text = text(value).to_lowercase();
            Value::Text(text.split_whitespace().collect::<Vec<_>>().join(" "))
        }
        _ => Value::Other(der.to_vec()),
    })
}

fn relative_name(reader: &mut SliceReader<'_>, attributes: &mut Vec<(ObjectIdentifier, String)>) -> der::Result<()> {
    let set = AnyRef::decode(reader)?;
    set.tag().assert_eq(Tag::Set)?;
    let mut members = SliceReader::new(set.value())?;
    let mut previous: &[u8] = &[];
    while !members.is_finished() {
        let member = members.tlv_bytes()?;
        if member <= previous {
            return Err(Tag::Set.value_error().into());
        }
        previous = member;
        let mut member = SliceReader::new(member)?;
        attributes.push(member.sequence(|pair| {
            let id = ObjectIdentifier::decode(pair)?;
            Ok::<_, der::Error>((id, text(AnyRef::decode(pair)?)))
        })?);
    }
    if previous.is_empty() { Err(Tag::Set.value_error().into()) } else { Ok(()) }
}

fn text(value: AnyRef<'_>) -> String {
    let bytes = value.value();
    match value.tag() {
        Tag::TeletexString => bytes.iter().copied().map(char::from).collect(),
        Tag::BmpString => {
            let units = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(attributes: &[(u8, u8, &[u8])]) -> Vec<u8> {
        let rdns: Vec<u8> = attributes
            .iter()
            .flat_map(|&(attribute, tag, value)| {
                let mut pair = vec![0x06, 3, 0x55, 0x04, attribute, tag, u8::try_from(value.len()).unwrap()];
                pair.extend_from_slice(value);
                let pair = [&[0x30, u8::try_from(pair.len()).unwrap()], &pair[..]].concat();
                [&[0x31, u8::try_from(pair.len()).unwrap()], &pair[..]].concat()
            })
            .collect();
        [&[0x30, u8::try_from(rdns.len()).unwrap()], &rdns[..]].concat()
    }

    #[test]
    fn a_name_reads_as_people_write_it() {
        let der = name(&[(6, 0x13, b"ES"), (10, 0x0c, "Caf\u{e9}".as_bytes()), (3, 0x1e, b"\0s\0i\0t\0e")]);
        let name = Name::parse(&der).unwrap();
        assert_eq!(name.to_string(), "C=ES, O=Caf\u{e9}, CN=site");
        assert_eq!(name.common_name(), Some("site"));
    }

    #[test]
    fn of_several_common_names_the_last_and_most_specific_counts() {
        let der = name(&[(3, 0x0c, b"first"), (3, 0x0c, b"second")]);
        assert_eq!(Name::parse(&der).unwrap().common_name(), Some("second"));
    }

    #[test]
    fn control_characters_are_shown_escaped() {
        assert_eq!(Name::text(&name(&[(3, 0x0c, b"a\x1b[2Jb\n")])), "CN=a\\u{1b}[2Jb\\n");
    }

    #[test]
    fn what_is_no_name_is_said_to_be_unreadable() {
        assert_eq!(Name::text(b"\x31\x00"), "(unreadable name)");
        assert_eq!(Name::text(b"\x30\x02\x31\x00"), "(unreadable name)");
        assert_eq!(Name::text(b"\x30\x00"), "(empty name)");
    }

    #[test]
    fn names_are_one_whatever_their_string_type_case_and_blanks() {
        let written = name(&[(10, 0x13, b"Plant  One "), (3, 0x13, b"CA")]);
        for other in [
            name(&[(10, 0x0c, b"plant one"), (3, 0x0c, b"ca")]),
            name(&[(10, 0x14, b"PLANT ONE"), (3, 0x1e, b"\0C\0A")]),
        ] {
            assert!(is_same(&written, &other));
        }
        for other in [
            name(&[(10, 0x13, b"PlantOne"), (3, 0x13, b"CA")]),
            name(&[(3, 0x13, b"CA"), (10, 0x13, b"Plant One")]),
            name(&[(10, 0x13, b"Plant One")]),
            name(&[(10, 0x13, b"Plant One"), (11, 0x13, b"CA")]),
            name(&[(10, 0x04, b"Plant One"), (3, 0x13, b"CA")]),
        ] {
            assert!(!is_same(&written, &other));
        }
        let unreadable = b"\x30\x02\x31\x05";
        assert!(is_same(unreadable, unreadable) && !is_same(unreadable, &written));
    }
}
