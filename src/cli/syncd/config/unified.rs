//! A unified diff, for people: what does not show is escaped.

use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::time::Instant;

use similar::{Algorithm, ChangeTag, DiffOp, capture_diff_slices_deadline, group_diff_ops};

use crate::proto::shown;

/// Lines around what differs.
const CONTEXT: usize = 3;

/// The hunks, without a header; nothing where both are the same. After `deadline` lines count as different without a closer
/// look.
pub(super) fn hunks(old: &[u8], new: &[u8], deadline: Instant) -> String {
    let lines = |bytes| -> Vec<&[u8]> { <[u8]>::split_inclusive(bytes, |byte| *byte == b'\n').collect() };
    let (old, new) = (lines(old), lines(new));
    let ops = capture_diff_slices_deadline(Algorithm::Myers, &old, &new, Some(deadline));
    let mut text = String::new();
    for group in group_diff_ops(ops, CONTEXT) {
        if let (Some(first), Some(last)) = (group.first(), group.last()) {
            let range = |start: usize, end: usize| range(start, end - start);
            let of_old = range(first.old_range().start, last.old_range().end);
            let of_new = range(first.new_range().start, last.new_range().end);
            let _ = writeln!(text, "@@ -{of_old} +{of_new} @@");
        }
        for op in &group {
            write_op(op, &old, &new, &mut text);
        }
    }
    text
}

/// As POSIX has it: the first line and how many there are; of none, the line before.
fn range(start: usize, count: usize) -> String {
    match count {
        0 => format!("{start},0"),
        1 => format!("{}", start + 1),
        _ => format!("{},{count}", start + 1),
    }
}

fn write_op(op: &DiffOp, old: &[&[u8]], new: &[&[u8]], text: &mut String) {
    for change in op.iter_changes(old, new) {
        let sign = match change.tag() {
            ChangeTag::Equal => ' ',
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
        };
        let value = change.value();
        let line = value.strip_suffix(b"\n");
        // A string takes whatever is written to it.
        let _ = writeln!(text, "{sign}{}", shown(OsStr::from_bytes(line.unwrap_or(value))));
        if line.is_none() {
            text.push_str("\\ No newline at end of file\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a deadline that is far off")]
    fn diff(old: &[u8], new: &[u8]) -> String {
        hunks(old, new, Instant::now() + Duration::from_secs(60))
    }

    #[test]
    fn hunks_are_as_diff_writes_them() {
        assert_eq!(diff(b"a\nb\n", b"a\nb\n"), "");
        assert_eq!(diff(b"a\nb\nc\n", b"a\nx\nc\n"), "@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n");
        assert_eq!(diff(b"", b"a\n"), "@@ -0,0 +1 @@\n+a\n");
        assert_eq!(diff(b"a\n", b""), "@@ -1 +0,0 @@\n-a\n");
        assert_eq!(diff(b"a", b"a\n"), "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n");
        let lines = |changed: usize| -> String {
            let line = |n: usize| if n == changed { "99".to_owned() } else { n.to_string() };
            (0..20).map(line).collect::<Vec<_>>().join("\n") + "\n"
        };
        let text = diff(lines(2).as_bytes(), lines(17).as_bytes());
        assert!(text.starts_with("@@ -1,6 +1,6 @@\n 0\n 1\n-99\n+2\n 3\n"), "{text}");
        assert!(text.contains("@@ -15,6 +15,6 @@\n 14\n 15\n 16\n-17\n+99\n 18\n 19\n"), "{text}");
    }

    #[test]
    fn nothing_that_a_terminal_acts_on_is_written() {
        assert_eq!(
            diff(b"a\x1b[2J\r\n", b"caf\xe9\tb\xe2\x80\xae\n"),
            "@@ -1 +1 @@\n-a\\x1b[2J\\r\n+caf\\xe9\\tb\\u{202e}\n"
        );
    }
}
