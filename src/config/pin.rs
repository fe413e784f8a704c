//! Fingerprints of certificates, as people write them.

/// A SHA-256: 64 hexadecimal digits, with or without colons.
pub(super) fn parse_pin(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u32> = text.chars().filter(|c| *c != ':').map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks(2).filter_map(|two| u8::try_from(two[0] * 16 + two.get(1)?).ok()).collect();
    if digits.len() == 64 { bytes.try_into().ok() } else { None }
}
