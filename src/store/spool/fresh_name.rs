//! A fresh name for a file whose own name is taken by other bytes.
//!
//! The data server takes names that match `^.*[\._]\d+\.data$` and reads the agent from what stands before the serial,
//! so there the fresh name differs only in the serial.

use crate::proto::FileName;

/// The fresh names to try for `name`, in order. Names that would not fit into a directory are left out.
pub(super) fn fresh_names(name: &FileName) -> impl Iterator<Item = FileName> {
    let (head, tail) = split(name.as_bytes());
    let separator: &[u8] = if tail.serial { b"" } else { b"." };
    (1..=TRIES).filter_map(move |attempt| {
        let number = format!("{attempt:02}");
        FileName::new(&[head, separator, number.as_bytes(), tail.extension].concat()).ok()
    })
}

/// How many files of one name may wait beside each other.
const TRIES: u32 = 99;

struct Tail<'a> {
    /// Whether what stands before the extension ends in a serial, as the data server expects it.
    serial: bool,
    /// With its dot; empty if there is none.
    extension: &'a [u8],
}

fn split(name: &[u8]) -> (&[u8], Tail<'_>) {
    if let Some(stem) = name.strip_suffix(b".data")
        && ends_in_serial(stem)
    {
        return (stem, Tail { serial: true, extension: b".data" });
    }
    let dot = name.iter().rposition(|&byte| byte == b'.').filter(|&at| at > 0).unwrap_or(name.len());
    let (stem, extension) = name.split_at(dot);
    (stem, Tail { serial: false, extension })
}

/// Whether `stem` ends in `[\._]\d+`.
fn ends_in_serial(stem: &[u8]) -> bool {
    let digits = stem.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let before = stem[..stem.len() - digits].last();
    digits > 0 && matches!(before, Some(b'.' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_two(name: &[u8]) -> Vec<String> {
        fresh_names(&FileName::new(name).unwrap()).take(2).map(|name| name.to_string()).collect()
    }

    #[test]
    fn a_fresh_name_keeps_the_agent_and_the_pattern() {
        for (name, fresh) in [
            ("web01.1700000000.data", ["web01.170000000001.data", "web01.170000000002.data"]),
            ("web_01_17.data", ["web_01_1701.data", "web_01_1702.data"]),
            (".17.data", [".1701.data", ".1702.data"]),
            // Outside the pattern: a counter before the extension.
            ("report.xml", ["report.01.xml", "report.02.xml"]),
            ("web01.data", ["web01.01.data", "web01.02.data"]),
            ("a.b.c", ["a.b.01.c", "a.b.02.c"]),
            ("plain", ["plain.01", "plain.02"]),
            (".hidden", [".hidden.01", ".hidden.02"]),
            ("17.data", ["17.01.data", "17.02.data"]),
        ] {
            assert_eq!(first_two(name.as_bytes()), fresh, "{name}");
        }
        assert_eq!(first_two(b"\xff.1.data"), [r#""\xff.101.data""#, r#""\xff.102.data""#]);
    }

    #[test]
    fn the_names_tried_differ_and_end() {
        let name: FileName = "web01.17.data".parse().unwrap();
        let all: std::collections::BTreeSet<_> = fresh_names(&name).collect();
        assert_eq!(all.len(), TRIES as usize);
        assert!(!all.contains(&name));
    }

    #[test]
    fn a_name_without_room_for_a_counter_has_no_fresh_one() {
        let long = [&[b'a'; 247][..], b".7.data"].concat();
        assert_eq!(first_two(&long), Vec::<String>::new());
        let fits = [&[b'a'; 246][..], b".7.data"].concat();
        assert_eq!(first_two(&fits).len(), 2);
    }
}
