//! Command lines taken apart as Perl's getopts does: letters may be bundled, a value may be attached (as it stands, `=`
//! included) or be the next argument whatever it looks like; `--` or the first operand ends the options. Long options are
//! ours.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::nearest::nearest;

/// The arguments after the program's name, one [`Item`] after the other.
#[derive(Debug)]
pub(super) struct Getopts {
    /// Letters of one argument that are still to be looked at, or the value of the last one.
    bundle: VecDeque<u8>,
    arguments: VecDeque<OsString>,
    reading: Reading,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Options,
    Operands,
}

/// What stands in a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// An option of one letter. If it takes a value: [`Getopts::value`].
    Letter(u8),
    /// `--name` or `--name=value`.
    Long {
        /// Without the hyphens.
        name: String,
        /// What follows the equals sign.
        value: Option<String>,
    },
    /// Anything else, and all that follows it.
    Operand(OsString),
}

impl Getopts {
    /// Reads the arguments after the program's name.
    pub(super) fn new(arguments: impl IntoIterator<Item = OsString>) -> Self {
        Self { bundle: VecDeque::new(), arguments: arguments.into_iter().collect(), reading: Reading::Options }
    }

    /// The value of the letter that came last: what is attached, or else the next argument.
    pub(super) fn value(&mut self) -> Option<Vec<u8>> {
        if self.bundle.is_empty() {
            self.arguments.pop_front().map(OsString::into_vec)
        } else {
            Some(self.bundle.drain(..).collect())
        }
    }
}

impl Iterator for Getopts {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        if let Some(letter) = self.bundle.pop_front() {
            return Some(Item::Letter(letter));
        }
        let argument = self.arguments.pop_front()?;
        match argument.as_bytes() {
            _ if self.reading == Reading::Operands => Some(Item::Operand(argument)),
            b"--" => {
                self.reading = Reading::Operands;
                self.next()
            }
            [b'-', b'-', long @ ..] => Some(Item::long(OsStr::from_bytes(long))),
            [b'-', bundle @ ..] if !bundle.is_empty() => {
                self.bundle.extend(bundle);
                self.next()
            }
            _ => {
                self.reading = Reading::Operands;
                Some(Item::Operand(argument))
            }
        }
    }
}

impl Item {
    fn long(text: &OsStr) -> Self {
        let text = text.to_string_lossy();
        match text.split_once('=') {
            Some((name, value)) => Self::Long { name: name.to_owned(), value: Some(value.to_owned()) },
            None => Self::Long { name: text.into_owned(), value: None },
        }
    }
}

/// The long option, of those given without their hyphens, that `name` is most likely a slip of.
pub(super) fn nearest_long<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    Some(format!("--{}", nearest(name, known)?))
}

/// The same letter in the other case.
pub(super) fn other_case(letter: u8) -> u8 {
    if letter.is_ascii_lowercase() { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `p` takes a value.
    fn items(arguments: &[&str]) -> Vec<String> {
        let mut getopts = Getopts::new(arguments.iter().map(OsString::from));
        let mut items = Vec::new();
        while let Some(item) = getopts.next() {
            items.push(match item {
                Item::Letter(b'p') => match getopts.value() {
                    Some(value) => format!("p={}", String::from_utf8(value).unwrap()),
                    None => "p without".to_owned(),
                },
                Item::Letter(letter) => char::from(letter).to_string(),
                Item::Long { name, value: None } => format!("--{name}"),
                Item::Long { name, value: Some(value) } => format!("--{name} is {value}"),
                Item::Operand(operand) => format!("<{}>", operand.to_string_lossy()),
            });
        }
        items
    }

    #[test]
    fn letters_are_bundled_and_values_attached_or_next() {
        assert_eq!(items(&["-vp41121", "-gp", "1", "-p=2"]), ["v", "p=41121", "g", "p=1", "p==2"]);
        assert_eq!(items(&["-p", "-v", "-p", "--", "-p", ""]), ["p=-v", "p=--", "p="]);
        assert_eq!(items(&["-vp"]), ["v", "p without"]);
    }

    #[test]
    fn the_first_operand_ends_the_options() {
        assert_eq!(items(&["-v", "a", "-v", "--", "--x"]), ["v", "<a>", "<-v>", "<-->", "<--x>"]);
        assert_eq!(items(&["--", "-v", "--"]), ["<-v>", "<-->"]);
        assert_eq!(items(&["-", "-v"]), ["<->", "<-v>"]);
        assert_eq!(items(&["", "-v"]), ["<>", "<-v>"]);
    }

    #[test]
    fn long_options_may_have_a_value() {
        assert_eq!(items(&["--help", "--a=b=c", "--d="]), ["--help", "--a is b=c", "--d is "]);
        assert_eq!(items(&["-v-x"]), ["v", "-", "x"]);
    }
}
