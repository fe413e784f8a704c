//! The ZIP format, as far as archives of one entry need it; without I/O.
//!
//! ```text
//! local header, name, extra | data | (data descriptor) | central header, name, extra, comment | end
//! ```
//! An archive is read from its end: the central header has the sizes also where the local one leaves them to a data
//! descriptor, as streaming writers (stock's is one) do. A general reader would collect every entry of a hostile archive;
//! here the directory must fit the one entry exactly. What comes through a connection is read as it comes by an [`Unpacker`], which
//! looks at the same fields. Source: PKWARE's APPNOTE.TXT 6.3.

mod unpacker;

pub use unpacker::{UnpackError, Unpacker};

/// Why bytes are no archive that can be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZipError {
    /// It is damaged, or something else; how it shows.
    #[error("not a sound ZIP archive: {0}")]
    Malformed(&'static str),
    /// It has none, or several; how many.
    #[error("a ZIP archive of {0} entries, where one is expected")]
    Entries(u16),
    /// A password is needed.
    #[error("an encrypted ZIP archive: send it without a password")]
    Encrypted,
    /// Neither deflated nor stored; the method's number.
    #[error("a ZIP archive with compression method {0}: only deflate (8) and stored (0) are known")]
    Method(u16),
    /// The extension for more than 4 GiB, or a lie.
    #[error("a ZIP64 archive: this is not supported, send the file itself")]
    Zip64,
    /// The entry is no file.
    #[error("a ZIP archive of a directory, where a file is expected")]
    Directory,
}

/// Bytes of the parts, without their variable fields.
pub(crate) const LOCAL: usize = LOCAL_SIZE as usize;
pub(crate) const CENTRAL: usize = 46;
pub(crate) const END: usize = 22;
/// The data descriptor, with its signature, which may be lacking.
pub(crate) const DESCRIPTOR: usize = 16;

const LOCAL_SIZE: u32 = 30;
const LOCAL_SIGNATURE: u32 = 0x0403_4b50;
const DESCRIPTOR_SIGNATURE: u32 = 0x0807_4b50;
const CENTRAL_SIGNATURE: u32 = 0x0201_4b50;
const END_SIGNATURE: u32 = 0x0605_4b50;

/// Flags: encrypted, strongly so, and with a hidden directory.
const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
/// Flag: a patch, not a file.
const PATCH: u16 = 1 << 5;
/// Flag: the local header's sizes and checksum are in a data descriptor behind the data.
const STREAMED: u16 = 1 << 3;

/// Where the headers have the lengths of what follows them: the name, the extra field, and the comment.
const LOCAL_LENGTHS: [usize; 2] = [26, 28];
const CENTRAL_LENGTHS: [usize; 3] = [28, 30, 32];

/// What these fields hold where the value is in a ZIP64 record.
const ELSEWHERE: u32 = u32::MAX;

/// How an entry's data is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Stored,
    Deflated,
}

impl Method {
    fn decode(code: u16) -> Result<Self, ZipError> {
        match code {
            0 => Ok(Self::Stored),
            8 => Ok(Self::Deflated),
            other => Err(ZipError::Method(other)),
        }
    }

    fn code(self) -> u16 {
        match self {
            Self::Stored => 0,
            Self::Deflated => 8,
        }
    }
}

/// What a local header says where it comes before all else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Local {
    pub(crate) method: Method,
    /// Bytes of the data, packed and unpacked; `None` where they are in a data descriptor behind it.
    pub(crate) sizes: Option<(u32, u32)>,
    /// Bytes of the name and the extra field, which follow it.
    pub(crate) variable: u64,
}

/// What a central header says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Central {
    /// Bytes of the name, the extra field and the comment, which follow it.
    pub(crate) variable: u64,
}

/// What stands behind data whose local header lacks this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    /// Bytes of its own.
    pub(crate) length: usize,
    pub(crate) crc: u32,
    pub(crate) packed: u32,
    pub(crate) size: u32,
}

/// Where the central header is, its variable fields included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Directory {
    pub(crate) at: u64,
    pub(crate) size: u64,
}

/// What is known of an archive's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) method: Method,
    pub(crate) crc: u32,
    /// Bytes, packed.
    pub(crate) packed: u32,
    /// Bytes, unpacked.
    pub(crate) size: u32,
    /// Where its local header is.
    pub(crate) local: u32,
    /// Bytes of its name, of which the last one must be looked at: a directory's is a slash.
    pub(crate) name: u16,
}

impl Local {
    /// Reads the local header.
    pub(crate) fn decode(local: &[u8; LOCAL]) -> Result<Self, ZipError> {
        let fields = Fields(local);
        if fields.u32(0) != LOCAL_SIGNATURE {
            return Err(ZipError::Malformed("it begins with no entry"));
        }
        let flags = fields.u16(6);
        check_flags(flags)?;
        let method = Method::decode(fields.u16(8))?;
        let sizes = (fields.u32(18), fields.u32(22));
        let sizes = match flags & STREAMED {
            0 if sizes.0 == ELSEWHERE || sizes.1 == ELSEWHERE => return Err(ZipError::Zip64),
            0 => Some(sizes),
            _ if method == Method::Stored => {
                return Err(ZipError::Malformed("its entry is stored, and does not say where it ends"));
            }
            _ => None,
        };
        Ok(Self { method, sizes, variable: fields.lengths(LOCAL_LENGTHS) })
    }
}

impl Central {
    /// Looks at the central header before the end record has come.
    pub(crate) fn decode(central: &[u8; CENTRAL]) -> Result<Self, ZipError> {
        let fields = Fields(central);
        if fields.u32(0) != CENTRAL_SIGNATURE {
            return Err(ZipError::Malformed("no directory follows its entry"));
        }
        Ok(Self { variable: fields.lengths(CENTRAL_LENGTHS) })
    }
}

impl Descriptor {
    /// Reads it, with its signature or without, for data whose checksum is `crc`; `None` if that is in neither place.
    pub(crate) fn decode(bytes: &[u8; DESCRIPTOR], crc: u32) -> Option<Self> {
        let fields = Fields(bytes);
        let at = |at: usize| Self {
            length: at + 12,
            crc: fields.u32(at),
            packed: fields.u32(at + 4),
            size: fields.u32(at + 8),
        };
        let has_signature = fields.u32(0) == DESCRIPTOR_SIGNATURE && fields.u32(4) == crc;
        let found = if has_signature { at(4) } else { at(0) };
        (found.crc == crc).then_some(found)
    }
}

impl Directory {
    /// Reads an archive's last bytes.
    pub(crate) fn decode(end: &[u8; END], archive: u64) -> Result<Self, ZipError> {
        let fields = Fields(end);
        if fields.u32(0) != END_SIGNATURE || fields.u16(20) != 0 {
            return Err(ZipError::Malformed("there is no end record at its end"));
        }
        let (disks, entries) = ((fields.u16(4), fields.u16(6)), (fields.u16(8), fields.u16(10)));
        let (size, at) = (fields.u32(12), fields.u32(16));
        if size == ELSEWHERE || at == ELSEWHERE || entries.1 == u16::MAX {
            return Err(ZipError::Zip64);
        }
        if entries.1 != 1 {
            return Err(ZipError::Entries(entries.1));
        }
        let directory = Self { at: at.into(), size: size.into() };
        let fits = directory.at + directory.size + END as u64 == archive && size as usize >= CENTRAL;
        if !fits || disks != (0, 0) || entries.0 != 1 {
            return Err(ZipError::Malformed("its end record does not fit it"));
        }
        Ok(directory)
    }
}

impl Entry {
    /// Reads the central header.
    pub(crate) fn decode(central: &[u8; CENTRAL], directory: Directory) -> Result<Self, ZipError> {
        let fields = Fields(central);
        let (name, variable) = (fields.u16(28), fields.lengths(CENTRAL_LENGTHS));
        if fields.u32(0) != CENTRAL_SIGNATURE || CENTRAL as u64 + variable != directory.size || fields.u16(34) != 0 {
            return Err(ZipError::Malformed("its directory is not of one entry"));
        }
        check_flags(fields.u16(8))?;
        let (crc, packed, size, local) = (fields.u32(16), fields.u32(20), fields.u32(24), fields.u32(42));
        if [packed, size, local].contains(&ELSEWHERE) {
            return Err(ZipError::Zip64);
        }
        let method = Method::decode(fields.u16(10))?;
        if method == Method::Stored && packed != size {
            return Err(ZipError::Malformed("its entry is stored in another size than its own"));
        }
        Ok(Self { method, crc, packed, size, local, name })
    }

    /// Reads the local header: where the data begins.
    pub(crate) fn locate(&self, local: &[u8; LOCAL], directory: Directory) -> Result<u64, ZipError> {
        let fields = Fields(local);
        let flags = fields.u16(6);
        check_flags(flags)?;
        let header = (fields.u32(14), fields.u32(18), fields.u32(22));
        let agrees = flags & STREAMED != 0 || header == (self.crc, self.packed, self.size);
        if fields.u32(0) != LOCAL_SIGNATURE || fields.u16(8) != self.method.code() || !agrees {
            return Err(ZipError::Malformed("its entry and its directory disagree"));
        }
        let data = u64::from(self.local) + LOCAL as u64 + fields.lengths(LOCAL_LENGTHS);
        if data + u64::from(self.packed) > directory.at {
            return Err(ZipError::Malformed("its entry reaches into its directory"));
        }
        Ok(data)
    }

    /// The local header, for an entry at the archive's beginning.
    pub(crate) fn local_header(&self) -> Vec<u8> {
        let mut header = LOCAL_SIGNATURE.to_le_bytes().to_vec();
        self.common(&mut header);
        header
    }

    /// All that follows the data.
    pub(crate) fn trailer(&self, name: &[u8]) -> Vec<u8> {
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

/// An archive of that entry in the form in which stock writes it: with the sizes and the checksum behind the data.
#[cfg(any(test, feature = "demo"))]
pub(crate) fn streamed(entry: &Entry, name: &[u8], data: &[u8]) -> Vec<u8> {
    let flags = STREAMED.to_le_bytes();
    let mut local = entry.local_header();
    local[6..8].copy_from_slice(&flags);
    let sizes = local[14..26].to_vec();
    local[14..26].fill(0);
    let descriptor = [&DESCRIPTOR_SIGNATURE.to_le_bytes(), &*sizes].concat();
    let mut trailer = entry.trailer(name);
    trailer[8..10].copy_from_slice(&flags);
    let at = trailer.len() - END + 16;
    let directory = (local.len() + name.len() + data.len() + DESCRIPTOR).to_le_bytes();
    trailer[at..at + 4].copy_from_slice(&directory[..4]);
    [&*local, name, data, &*descriptor, &*trailer].concat()
}

fn check_flags(flags: u16) -> Result<(), ZipError> {
    match flags {
        _ if flags & ENCRYPTED != 0 => Err(ZipError::Encrypted),
        _ if flags & PATCH != 0 => Err(ZipError::Malformed("its entry is a patch")),
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

    /// Of what follows, in bytes.
    fn lengths<const N: usize>(&self, at: [usize; N]) -> u64 {
        at.into_iter().map(|at| u64::from(self.u16(at))).sum()
    }
}
