//! Archives as stock's server makes them.

use std::io::{self, Write};

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

use crate::proto::zip::{Entry, Method, streamed};

/// A file packed as stock does it: with its sizes behind the data, under an absolute path.
///
/// # Errors
/// It is too large for ZIP.
pub(crate) fn stock_archive(name: &[u8], bytes: &[u8]) -> io::Result<Vec<u8>> {
    let path = [b"/var/spool/pandora/data_in/", name].concat();
    let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    let data = encoder.finish()?;
    let mut crc = Crc::new();
    crc.update(bytes);
    let entry = Entry {
        method: Method::Deflated,
        crc: crc.sum(),
        packed: u32::try_from(data.len()).map_err(too_large)?,
        size: u32::try_from(bytes.len()).map_err(too_large)?,
        local: 0,
        name: u16::try_from(path.len()).map_err(too_large)?,
    };
    Ok(streamed(&entry, &path, &data))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use ::zip::ZipArchive;

    use super::*;
    use crate::proto::zip::Unpacker;

    #[test]
    fn others_read_it_and_so_do_we() {
        for bytes in [b"".as_slice(), b"x", &vec![7; 100_000]] {
            let archive = stock_archive(b"a.1.data", bytes).unwrap();
            let mut zip = ZipArchive::new(Cursor::new(&archive)).unwrap();
            let mut read = Vec::new();
            io::copy(&mut zip.by_index(0).unwrap(), &mut read).unwrap();
            assert_eq!(read, bytes);
            let (mut unpacker, mut out) = (Unpacker::new(1 << 20), Vec::new());
            unpacker.take(&archive, &mut |piece| out.extend_from_slice(piece)).unwrap();
            assert_eq!((unpacker.finish(), out.as_slice()), (Ok(bytes.len() as u64), bytes));
        }
    }
}
