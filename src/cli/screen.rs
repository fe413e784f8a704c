//! Text for a terminal.

/// A terminal's.
pub(super) const WIDTH: usize = 80;

/// Seconds, with two digits or three and one unit.
pub(super) fn duration(seconds: u64) -> String {
    match seconds {
        0..100 => format!("{seconds}s"),
        100..6000 => format!("{}m", seconds / 60),
        6000..172_800 => format!("{}h", seconds / 3600),
        172_800..86_400_000 => format!("{}d", seconds / 86_400),
        _ => format!("{}y", (seconds / 31_557_600).min(9999)),
    }
}

/// A number of up to eight characters.
pub(super) fn number(count: u64) -> String {
    match count {
        0..100_000_000 => count.to_string(),
        100_000_000..100_000_000_000 => format!("{}M", count / 1_000_000),
        _ => format!("{}G", (count / 1_000_000_000).min(9_999_999)),
    }
}

/// A number of bytes, with three digits or four and one unit.
pub(super) fn bytes(count: u64) -> String {
    let mut shown = count;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if shown < 10_000 {
            return format!("{shown} {unit}");
        }
        shown /= 1024;
    }
    format!("{shown} PiB")
}

/// As far as it fits, with a mark where it goes on.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

/// In lines of at most [`WIDTH`] characters, the second and all later ones after `indent`.
pub(super) fn wrapped(text: &str, indent: &str) -> Vec<String> {
    wrapped_at(text, indent, WIDTH)
}

/// The same, in lines of at most so many characters.
pub(super) fn wrapped_at(text: &str, indent: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        // A word that is longer than a line is broken.
        let characters: Vec<char> = word.chars().collect();
        let pieces = characters.chunks(width - indent.len()).map(|piece| piece.iter().collect::<String>());
        for piece in pieces {
            let is_first = line.is_empty() || line == indent;
            if !is_first && line.chars().count() + 1 + piece.chars().count() > width {
                lines.push(std::mem::replace(&mut line, indent.to_owned()));
            } else if !is_first {
                line.push(' ');
            }
            line.push_str(&piece);
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrapped_at("one two three", "", 7), ["one two", "three"]);
        assert_eq!(wrapped_at("one two three", "  ", 7), ["one two", "  three"]);
        assert_eq!(wrapped_at("abcdefghij kl", "", 4), ["abcd", "efgh", "ij", "kl"]);
        assert_eq!(wrapped_at("", "", 4), [""]);
    }
}
