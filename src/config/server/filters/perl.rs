//! Perl's regexes as the regex crate writes them.

use regex::bytes::{Regex, RegexBuilder};

/// What the manual writes after `.*\`, and agents put at the end of a name.
const EXTENSIONS: [&[u8]; 6] = [b"conf", b"md5", b"zip", b"lock", b"rcmd", b"data"];

/// The manual's command lines are wrong: `.*\*.conf` asks for a literal `*`, which no name may hold, and in `.*\conf`
/// the backslash takes the `c` away. Both stand for `.*\.conf`.
pub(super) fn as_meant(pattern: &[u8]) -> Option<Vec<u8>> {
    let extension = match pattern.strip_prefix(br".*\")? {
        [b'*', b'.', word @ ..] if !word.is_empty() && word.iter().all(u8::is_ascii_alphanumeric) => word,
        word if EXTENSIONS.contains(&word) => word,
        _ => return None,
    };
    Some([br".*\.", extension].concat())
}

/// What [`as_meant`] did.
pub(super) fn slip_warning(written: &[u8], meant: &[u8]) -> String {
    let (written, meant) = (String::from_utf8_lossy(written), String::from_utf8_lossy(meant));
    format!("{written} matches no such file, though the manual has it; read as {meant}")
}

/// A regex that matches what Perl's would; an error names what is not supported.
pub(super) fn compile(pattern: &[u8]) -> Result<Regex, String> {
    RegexBuilder::new(&translated(pattern)?).unicode(false).build().map_err(|error| match error {
        regex::Error::Syntax(text) => reason(&text),
        regex::Error::CompiledTooBig(_) => "the regex is too large".to_owned(),
        other => other.to_string(),
    })
}

/// The last line of the crate's report; the others draw the place.
fn reason(report: &str) -> String {
    let last = report.lines().last().unwrap_or_default().trim();
    format!("the regex cannot be used: {}", last.strip_prefix("error: ").unwrap_or(last))
}

/// Where `translated` is in the pattern.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    Outside,
    /// Right after what a quantifier can follow.
    Quantified,
    /// In brackets; how many bytes after the opening one.
    Class(usize),
}

/// The same pattern with everything spelled out that the two languages read differently: bytes beyond ASCII, and what is
/// plain in Perl's brackets. Possessive quantifiers, which have no counterpart, are an error.
fn translated(pattern: &[u8]) -> Result<String, String> {
    let mut text = String::with_capacity(pattern.len());
    let mut context = Context::Outside;
    let mut bytes = pattern.iter().copied().peekable();
    let mut previous = None;
    while let Some(byte) = bytes.next() {
        let next = bytes.peek().copied();
        context = match (context, byte) {
            (_, b'\\') => {
                let escaped = bytes.next();
                push_escaped(&mut text, escaped);
                after_literal(context)
            }
            (Context::Class(length), b']') if !is_first(length, previous) => {
                text.push(']');
                Context::Outside
            }
            (Context::Class(length), b'[') if next == Some(b':') => {
                text.push('[');
                // Up to the `:]` it is a name.
                for named in bytes.by_ref() {
                    push_byte(&mut text, named);
                    if named == b']' {
                        break;
                    }
                }
                Context::Class(length + 2)
            }
            (Context::Class(length), b'[' | b'&' | b'~') => {
                text.push('\\');
                push_byte(&mut text, byte);
                Context::Class(length + 1)
            }
            (Context::Class(length), b'-') if previous == Some(b'-') => {
                text.push_str("\\-");
                Context::Class(length + 1)
            }
            (Context::Quantified, b'+') => {
                return Err("the regex cannot be used: possessive quantifiers are not supported".to_owned());
            }
            (_, _) => {
                push_byte(&mut text, byte);
                after(context, byte, previous)
            }
        };
        previous = Some(byte);
    }
    Ok(text)
}

/// Right after the opening bracket, or after that and `^`, a closing one stands for itself.
fn is_first(length: usize, previous: Option<u8>) -> bool {
    length == 0 || (length == 1 && previous == Some(b'^'))
}

fn after_literal(context: Context) -> Context {
    match context {
        Context::Class(length) => Context::Class(length + 2),
        Context::Outside | Context::Quantified => Context::Outside,
    }
}

fn after(context: Context, byte: u8, previous: Option<u8>) -> Context {
    match (context, byte) {
        (Context::Class(length), _) => Context::Class(length + 1),
        (_, b'[') => Context::Class(0),
        // `(?` begins a group and is no quantifier.
        (_, b'?') if previous == Some(b'(') => Context::Outside,
        (_, b'*' | b'+' | b'?' | b'}') => Context::Quantified,
        (_, _) => Context::Outside,
    }
}

fn push_escaped(text: &mut String, escaped: Option<u8>) {
    match escaped {
        // To the crate these are the ends of words.
        Some(byte @ (b'<' | b'>')) => text.push(byte.into()),
        Some(byte) if byte.is_ascii() => {
            text.push('\\');
            text.push(byte.into());
        }
        Some(byte) => push_byte(text, byte),
        None => text.push('\\'),
    }
}

fn push_byte(text: &mut String, byte: u8) {
    if byte.is_ascii() {
        text.push(byte.into());
    } else {
        text.push_str("\\x");
        text.extend([byte >> 4, byte & 0xf].iter().filter_map(|half| char::from_digit((*half).into(), 16)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &[u8]) -> bool {
        compile(pattern.as_bytes()).unwrap_or_else(|error| panic!("{pattern}: {error}")).is_match(name)
    }

    #[test]
    fn what_both_languages_have() {
        for (pattern, name) in [
            (r"(?i)\.CONF$", "a.conf"),
            (r"^web\d{2,3}_\w+\.(data|conf)\z", "web01_x.data"),
            (r"[^.]+\.md5", "a.md5"),
            (r"a{2}?", "aa"),
            (r"(?:a|b)+?c", "abc"),
            (r"\Aa\sb", "a b"),
            (r"a\-b\_c", "a-b_c"),
        ] {
            assert!(matches(pattern, name.as_bytes()), "{pattern}");
        }
    }

    #[test]
    fn bytes_are_bytes() {
        assert!(matches("^caf\u{e9}$", "caf\u{e9}".as_bytes()));
        assert!(matches("^a...b$", "a\u{20ac}b".as_bytes()));
        assert!(matches(r"^\xff.$", b"\xff\xfe"));
        assert!(compile(b"^\\\xff[\xc3\xa9]$").unwrap().is_match(b"\xff\xa9"));
    }

    #[test]
    fn brackets_are_perls() {
        for (pattern, hit, miss) in [
            ("^[[]$", "[", "a"),
            ("^[]a]$", "]", "b"),
            ("^[^]a]$", "b", "]"),
            ("^[a&&b]$", "&", "c"),
            ("^[a~~b]$", "~", "c"),
            ("^[+--]$", ",", "a"),
            ("^[[:digit:]x]$", "5", "y"),
            (r"^[\]a]$", "]", "b"),
            (r"^\<$", "<", ""),
        ] {
            assert!(matches(pattern, hit.as_bytes()) && !matches(pattern, miss.as_bytes()), "{pattern}");
        }
    }

    #[test]
    fn what_needs_backtracking_is_refused_by_name() {
        for (pattern, construct) in [
            (r"^(?!x).*\.conf", "look-around"),
            ("(?<=a)b", "look-around"),
            (r"(a)\1", "backreferences are not supported"),
            ("a*+b", "possessive quantifiers are not supported"),
            ("a{2}+b", "possessive quantifiers are not supported"),
            ("a(b", "unclosed group"),
            ("a[b", "unclosed character class"),
            ("*a", "repetition operator missing expression"),
            (r"a\", "incomplete escape sequence"),
            ("a{1000}{1000}{1000}", "too large"),
        ] {
            let reason = compile(pattern.as_bytes()).unwrap_err();
            assert!(reason.contains(construct) && !reason.contains('\n'), "{pattern}: {reason}");
        }
        assert!(matches(r"a\*+b", b"a**b") && matches("[*+]+", b"+"));
    }

    #[test]
    fn only_the_manuals_slips_are_slips() {
        assert_eq!(as_meant(br".*\*.srv2"), Some(br".*\.srv2".to_vec()));
        assert_eq!(as_meant(br".*\md5"), Some(br".*\.md5".to_vec()));
        for right in [r".*\.conf", r".*\d", r".*\*", r".*\dog", r"\conf", r".*\*.c+"] {
            assert_eq!(as_meant(right.as_bytes()), None, "{right}");
        }
    }
}
