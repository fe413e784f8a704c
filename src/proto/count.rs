//! Numbers of things, for people.

use std::fmt;

/// So many of something: "1 file", "2 files". The noun is in the singular and takes an s.
#[derive(Clone, Copy, Debug)]
pub struct Count<N>(pub N, pub &'static str);

impl<N: fmt::Display + Copy + PartialEq + From<u8>> fmt::Display for Count<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, noun) = *self;
        let ending = if number == N::from(1) { "" } else { "s" };
        write!(f, "{number} {noun}{ending}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_all_else_is_plural() {
        let counts = [0_usize, 1, 2].map(|number| Count(number, "file").to_string());
        assert_eq!(counts, ["0 files", "1 file", "2 files"]);
    }
}
