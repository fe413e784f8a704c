//! "Did you mean".

/// The known word that `word` is most likely a slip of, if one is close enough.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The distance is quadratic, and no known word is long.
    if word.len() > 64 {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let tolerated = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .filter(|(distance, _)| *distance <= tolerated)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["interval", "timeout", "retries", "ca"];

    #[test]
    fn a_slip_finds_its_word() {
        for (slip, word) in [("intervall", "interval"), ("tiemout", "timeout"), ("Retires", "retries"), ("cs", "ca")] {
            assert_eq!(nearest(slip, KNOWN), Some(word), "{slip}");
        }
    }

    #[test]
    fn a_stranger_finds_none() {
        assert_eq!(nearest("colour", KNOWN), None);
        assert_eq!(nearest(&"interval".repeat(1000), KNOWN), None);
    }
}
