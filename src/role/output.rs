//! What programs print: whatever becomes of it, they do not panic over it.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

/// Prints on standard output, and waits until it is there. A reader that went away, as `head` does, has read enough.
///
/// # Errors
/// It cannot be written: the disk behind it is full, say.
pub(crate) fn print(text: impl Display) -> io::Result<()> {
    let mut output = io::stdout().lock();
    match write!(output, "{text}").and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(io::Error::new(error.kind(), format!("cannot write to standard output: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// Says on standard error, in a line of its own, why the program ends. Where that cannot be written its exit status tells.
pub(crate) fn complain(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}
