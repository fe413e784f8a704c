//! Sizes of bodies, as they are written in lines.

/// The largest size a line may name: what a file can have (`off_t`).
pub const MAX_SIZE: u64 = i64::MAX.unsigned_abs();

/// Why some text is no size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SizeError {
    /// Not one or more decimal digits.
    NotDigits,
    /// More than [`MAX_SIZE`].
    TooLarge,
}

/// Reads a size: decimal digits and nothing else, at most [`MAX_SIZE`].
pub(super) fn parse_size(text: &[u8]) -> Result<u64, SizeError> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err(SizeError::NotDigits);
    }
    let size = text.iter().try_fold(0_u64, |size, digit| size.checked_mul(10)?.checked_add(u64::from(digit - b'0')));
    size.filter(|&size| size <= MAX_SIZE).ok_or(SizeError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_plain_digits_within_what_a_file_can_have() {
        assert_eq!(parse_size(b"0"), Ok(0));
        assert_eq!(parse_size(b"007"), Ok(7));
        assert_eq!(parse_size(b"9223372036854775807"), Ok(MAX_SIZE));
        for too_large in ["9223372036854775808", "18446744073709551615", "18446744073709551616", &"9".repeat(30)] {
            assert_eq!(parse_size(too_large.as_bytes()), Err(SizeError::TooLarge), "{too_large}");
        }
        for no_digits in ["", " ", "-1", "+1", "1 ", " 1", "0x10", "1.0", "1e3", "\u{661}"] {
            assert_eq!(parse_size(no_digits.as_bytes()), Err(SizeError::NotDigits), "{no_digits:?}");
        }
    }
}
