//! The blocks of a PEM file, each with its line: everything between `-----BEGIN` and `-----END`.
//!
//! Text outside of blocks is passed over, as OpenSSL does; a marker never is. Wider than RFC 7468 where the intention
//! is clear: byte order marks, blanks at either end of a line, several blocks on one line, any line end.

use zeroize::Zeroizing;

use crate::tls::setup::{BlockFault, FileProblem};

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
const BYTE_ORDER_MARK: char = '\u{feff}';

/// One block, not decoded.
pub(super) struct Block<'a> {
    /// Its label, such as `CERTIFICATE`.
    pub(super) label: &'a str,
    /// The line it begins in, counted from 1.
    pub(super) line: usize,
    body: Vec<Line<'a>>,
}

struct Line<'a> {
    number: usize,
    text: &'a str,
}

impl<'a> Block<'a> {
    /// All blocks of a file, in its order.
    pub(super) fn all(bytes: &'a [u8]) -> Result<Vec<Self>, FileProblem> {
        let mut scanner = Scanner { done: Vec::new(), open: None };
        for (index, line) in lines(bytes).enumerate() {
            scanner.line(index + 1, line)?;
        }
        match scanner.open {
            Some(open) => Err(open.broken(open.line, BlockFault::NoEnd)),
            None => Ok(scanner.done),
        }
    }

    /// The block as RFC 7468 writes it, under this label. The bytes are a key, perhaps.
    pub(super) fn canonical(&self, label: &str) -> Result<Zeroizing<Vec<u8>>, FileProblem> {
        let length: usize = self.body.iter().map(|line| line.text.len() + 1).sum();
        // Reserved at once: a buffer that grows leaves copies of a key behind.
        let mut text = Zeroizing::new(Vec::with_capacity(length + 2 * (label.len() + 32)));
        text.extend_from_slice(format!("{BEGIN}{label}{DASHES}\n").as_bytes());
        for line in &self.body {
            if let Some(found) = line.text.chars().find(|&c| !is_base64(c) && !is_blank(c)) {
                return Err(self.broken(line.number, BlockFault::NotBase64(found)));
            }
            text.extend(line.text.bytes().filter(|byte| !is_blank(char::from(*byte))));
            text.push(b'\n');
        }
        text.extend_from_slice(format!("{END}{label}{DASHES}\n").as_bytes());
        Ok(text)
    }

    /// Whether it has the headers of PEM's own encryption.
    pub(super) fn is_encrypted_the_old_way(&self) -> bool {
        self.body.iter().any(|line| line.text.starts_with("Proc-Type:") && line.text.contains("ENCRYPTED"))
    }

    /// What is wrong with this block, and in which line.
    pub(super) fn broken(&self, line: usize, fault: BlockFault) -> FileProblem {
        FileProblem::Broken { line, label: self.label.to_owned(), fault }
    }
}

/// What a file is read by, line by line.
struct Scanner<'a> {
    done: Vec<Block<'a>>,
    open: Option<Block<'a>>,
}

impl<'a> Scanner<'a> {
    fn line(&mut self, number: usize, bytes: &'a [u8]) -> Result<(), FileProblem> {
        let Ok(text) = std::str::from_utf8(bytes) else { return self.binary(number) };
        let mut rest = trimmed(text);
        loop {
            let Some(open) = &mut self.open else {
                if !rest.starts_with(BEGIN) {
                    return check_text(number, rest);
                }
                rest = self.begin(number, rest)?;
                continue;
            };
            let (body, marker) = rest.split_at(rest.find(DASHES).unwrap_or(rest.len()));
            open.body.push(Line { number, text: body });
            if marker.is_empty() {
                return Ok(());
            }
            rest = self.end(number, marker)?;
        }
    }

    /// Text outside of blocks may be in any encoding.
    fn binary(&self, number: usize) -> Result<(), FileProblem> {
        match &self.open {
            Some(block) => Err(block.broken(number, BlockFault::NotBase64(char::REPLACEMENT_CHARACTER))),
            None => Ok(()),
        }
    }

    fn begin(&mut self, number: usize, marker: &'a str) -> Result<&'a str, FileProblem> {
        let (label, rest) = label_of(marker, BEGIN).ok_or_else(|| stray(number, BlockFault::CutMarker, "block"))?;
        self.open = Some(Block { label, line: number, body: Vec::new() });
        Ok(rest)
    }

    fn end(&mut self, number: usize, marker: &'a str) -> Result<&'a str, FileProblem> {
        let Some(block) = self.open.take() else { return Ok(marker) };
        if marker.starts_with(BEGIN) {
            return Err(block.broken(block.line, BlockFault::NoEnd));
        }
        match label_of(marker, END) {
            Some((label, rest)) if label == block.label => {
                self.done.push(block);
                Ok(rest)
            }
            Some((other, _)) => Err(block.broken(number, BlockFault::OtherEnd(other.to_owned()))),
            None => Err(block.broken(number, BlockFault::NotBase64('-'))),
        }
    }
}

/// Text between blocks: a block that is not seen as one must not pass for text.
fn check_text(line: usize, text: &str) -> Result<(), FileProblem> {
    let Some((before, label)) = text.find(END).and_then(|at| Some((&text[..at], label_of(&text[at..], END)?.0))) else {
        return Ok(());
    };
    match before.contains(BEGIN) {
        true => Err(stray(line, BlockFault::TextBefore, label)),
        false if before.is_empty() => Err(stray(line, BlockFault::NoBegin, label)),
        false => Ok(()),
    }
}

fn stray(line: usize, fault: BlockFault, label: &str) -> FileProblem {
    FileProblem::Broken { line, label: label.to_owned(), fault }
}

/// The label of a marker, and what stands behind it in its line.
fn label_of<'a>(marker: &'a str, kind: &str) -> Option<(&'a str, &'a str)> {
    let (label, rest) = marker.strip_prefix(kind)?.split_once(DASHES)?;
    Some((label, rest.trim_matches(is_blank)))
}

fn trimmed(line: &str) -> &str {
    line.trim_matches(|c| is_blank(c) || c == BYTE_ORDER_MARK)
}

fn is_blank(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\x0b'
}

fn is_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=')
}

/// The lines, whatever ends them.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            rest = None;
            return Some(text);
        };
        let length = if text[end..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = Some(&text[end + length..]);
        Some(&text[..end])
    })
}
