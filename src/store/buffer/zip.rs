//! The ZIP format, as far as archives of one entry need it; without I/O.
//!
//! ```text
//! local header, name, extra | data | (data descriptor) | central header, name, extra, comment | end
//! ```
//! An archive is read from its end: the central header has the sizes also where the local one leaves them to a data
//! descriptor, as streaming writers (stock's is one) do. A general reader would collect every entry of a hostile archive;
//! here the directory must fit the one entry exactly. Source: PKWARE's APPNOTE.TXT 6.3.

use super::archive::ArchiveError;

/// Bytes of the parts, without their variable fields.
pub(super) const LOCAL: usize = LOCAL_SIZE as usize;
pub(super) const CENTRAL: usize = 46;
pub(super) const END: usize = 22;

const LOCAL_SIZE: u32 = 30;
const LOCAL_SIGNATURE: u32 = 0x0403_4b50;
const CENTRAL_SIGNATURE: u32 = 0x0201_4b50;
const END_SIGNATURE: u32 = 0x0605_4b50;

/// Flags: encrypted, strongly so, and with a hidden directory.
const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
/// Flag: a patch, not a file.
const PATCH: u16 = 1 << 5;
/// Flag: the local header's sizes and checksum are in a data descriptor behind the data.
const STREAMED: u16 = 1 << 3;

/// What these fields hold where the value is in a ZIP64 record.
const ELSEWHERE: u32 = u32::MAX;

/// How an entry's data is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Stored,
    Deflated,
}

impl Method {
    fn decode(code: u16) -> Result<Self, ArchiveError> {
        match code {
            0 => Ok(Self::Stored),
            8 => Ok(Self::Deflated),
            other => Err(ArchiveError::Method(other)),
        }
    }

    fn code(self) -> u16 {
        match self {
            Self::Stored => 0,
            Self::Deflated => 8,
        }
    }
}

/// Where the central header is, its variable fields included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Directory {
    pub(super) at: u64,
    pub(super) size: u64,
}

/// What is known of an archive's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) method: Method,
    pub(super) crc: u32,
    /// Bytes, packed.
    pub(super) packed: u32,
    /// Bytes, unpacked.
    pub(super) size: u32,
    /// Where its local header is.
    pub(super) local: u32,
    /// Bytes of its name, of which the last one must be looked at: a directory's is a slash.
    pub(super) name: u16,
}

impl Directory {
    /// Reads an archive's last bytes.
    pub(super) fn decode(end: &[u8; END], archive: u64) -> Result<Self, ArchiveError> {
        let fields = Fields(end);
        if fields.u32(0) != END_SIGNATURE || fields.u16(20) != 0 {
            return Err(ArchiveError::Malformed("there is no end record at its end"));
        }
        let (disks, entries) = ((fields.u16(4), fields.u16(6)), (fields.u16(8), fields.u16(10)));
        let (size, at) = (fields.u32(12), fields.u32(16));
        if size == ELSEWHERE || at == ELSEWHERE || entries.1 == u16::MAX {
            return Err(ArchiveError::Zip64);
        }
        if entries.1 != 1 {
            return Err(ArchiveError::Entries(entries.1));
        }
        let directory = Self { at: at.into(), size: size.into() };
        let fits = directory.at + directory.size + END as u64 == archive && size as usize >= CENTRAL;
        if !fits || disks != (0, 0) || entries.0 != 1 {
            return Err(ArchiveError::Malformed("its end record does not fit it"));
        }
        Ok(directory)
    }
}

impl Entry {
    /// Reads the central header.
    pub(super) fn decode(central: &[u8; CENTRAL], directory: Directory) -> Result<Self, ArchiveError> {
        let fields = Fields(central);
        let name = fields.u16(28);
        let variable = u64::from(name) + u64::from(fields.u16(30)) + u64::from(fields.u16(32));
        if fields.u32(0) != CENTRAL_SIGNATURE || CENTRAL as u64 + variable != directory.size || fields.u16(34) != 0 {
            return Err(ArchiveError::Malformed("its directory is not of one entry"));
        }
        check_flags(fields.u16(8))?;
        let (crc, packed, size, local) = (fields.u32(16), fields.u32(20), fields.u32(24), fields.u32(42));
        if [packed, size, local].contains(&ELSEWHERE) {
            return Err(ArchiveError::Zip64);
        }
        let method = Method::decode(fields.u16(10))?;
        if method == Method::Stored && packed != size {
            return Err(ArchiveError::Malformed("its entry is stored in another size than its own"));
        }
        Ok(Self { method, crc, packed, size, local, name })
    }

    /// Reads the local header: where the data begins.
    pub(super) fn locate(&self, local: &[u8; LOCAL], directory: Directory) -> Result<u64, ArchiveError> {
        let fields = Fields(local);
        let flags = fields.u16(6);
        check_flags(flags)?;
        let header = (fields.u32(14), fields.u32(18), fields.u32(22));
        let agrees = flags & STREAMED != 0 || header == (self.crc, self.packed, self.size);
        if fields.u32(0) != LOCAL_SIGNATURE || fields.u16(8) != self.method.code() || !agrees {
            return Err(ArchiveError::Malformed("its entry and its directory disagree"));
        }
        let data = u64::from(self.local) + LOCAL as u64 + u64::from(fields.u16(26)) + u64::from(fields.u16(28));
        if data + u64::from(self.packed) > directory.at {
            return Err(ArchiveError::Malformed("its entry reaches into its directory"));
        }
        Ok(data)
    }

    /// The local header, for an entry at the archive's beginning.
    pub(super) fn local_header(&self) -> Vec<u8> {
        let mut header = LOCAL_SIGNATURE.to_le_bytes().to_vec();
        self.common(&mut header);
        header
    }

    /// All that follows the data.
    pub(super) fn trailer(&self, name: &[u8]) -> Vec<u8> {
        let mut trailer = CENTRAL_SIGNATURE.to_le_bytes().to_vec();
        // Made on Unix, by version 2.0.
        put(&mut trailer, &[0x0314]);
        self.common(&mut trailer);
        // No comment, first disk, no internal attributes.
        put(&mut trailer, &[0, 0, 0]);
        // A regular file with the rights ours have.
        trailer.extend_from_slice(&(0o100_660_u32 << 16).to_le_bytes());
        trailer.extend_from_slice(&self.local.to_le_bytes());
        trailer.extend_from_slice(name);
        let size = u32::try_from(trailer.len()).expect("a name has at most 255 bytes");
        let at = (LOCAL_SIZE + u32::from(self.name)).saturating_add(self.packed);
        trailer.extend_from_slice(&END_SIGNATURE.to_le_bytes());
        put(&mut trailer, &[0, 0, 1, 1]);
        trailer.extend_from_slice(&size.to_le_bytes());
        trailer.extend_from_slice(&at.to_le_bytes());
        put(&mut trailer, &[0]);
        trailer
    }

    /// The fields that both headers have, from the version needed to the extra field's length.
    fn common(&self, out: &mut Vec<u8>) {
        // The time is the first that the format can express.
        put(out, &[20, 0, self.method.code(), 0, 1 | 1 << 5]);
        for field in [self.crc, self.packed, self.size] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        put(out, &[self.name, 0]);
    }
}

fn check_flags(flags: u16) -> Result<(), ArchiveError> {
    match flags {
        _ if flags & ENCRYPTED != 0 => Err(ArchiveError::Encrypted),
        _ if flags & PATCH != 0 => Err(ArchiveError::Malformed("its entry is a patch")),
        _ => Ok(()),
    }
}

fn put(out: &mut Vec<u8>, fields: &[u16]) {
    out.extend(fields.iter().flat_map(|field| field.to_le_bytes()));
}

/// Little-endian numbers in a record of known length.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.0[at], self.0[at + 1]])
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from(self.u16(at)) | u32::from(self.u16(at + 2)) << 16
    }
}
