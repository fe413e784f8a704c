//! What is in the file beside a content.

/// Hexadecimal digits of an MD5.
const HEX: usize = 32;

/// The MD5 that a `.md5` file of these bytes gives: 32 hexadecimal digits, perhaps with blanks or line ends behind them.
pub fn parse_md5(bytes: &[u8]) -> Option<[u8; 16]> {
    let digits = bytes.trim_ascii_end();
    let is_md5 = digits.len() == HEX && digits.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_md5)?;
    u128::from_str_radix(digits, 16).ok().map(u128::to_be_bytes)
}

/// The bytes of the `.md5` file of a content that has this MD5: 32 lower-case digits without a line end, as agents and the
/// console write them.
pub fn md5_text(md5: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(md5))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Md5Sum;

    const EMPTY: &[u8] = b"d41d8cd98f00b204e9800998ecf8427e";

    #[test]
    fn an_md5_is_read_with_upper_case_and_blanks_behind_it_and_written_without() {
        let md5 = Md5Sum::of(b"").md5;
        for text in [EMPTY, b"D41D8CD98F00B204E9800998ECF8427E", b"d41d8cd98f00b204e9800998ecf8427e \t\r\n"] {
            assert_eq!(parse_md5(text), Some(md5));
        }
        assert_eq!(md5_text(md5).as_bytes(), EMPTY);
        assert_eq!(md5_text([0; 16]), "0".repeat(32));
    }

    #[test]
    fn what_is_no_md5_is_none() {
        for text in [
            "",
            " d41d8cd98f00b204e9800998ecf8427e",
            "d41d8cd98f00b204e9800998ecf8427",
            "+41d8cd98f00b204e9800998ecf8427e",
            "d41d8cd98f00b204e9800998ecf8427e  K.conf",
            "g41d8cd98f00b204e9800998ecf8427e",
            "d41d8cd98f00b204e9800998ecf8427e0",
        ] {
            assert_eq!(parse_md5(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse_md5(b"\xff41d8cd98f00b204e9800998ecf8427e"), None);
    }
}
