//! The envelope of commits and checkpoints.
//!
//! ```text
//! offset  size  field
//!      0     8  magic: "VLYCOMM\0" for a commit, "VLYCKPT\0" for a checkpoint
//!      8     2  format version (little endian, as every number here)
//!     10     2  which log: 1 a table's, 2 the catalog's
//!     12     4  zero
//!     16     8  features that a reader has to know
//!     24     8  features that a writer has to know
//!     32     8  version: the number of the commit
//!     40     8  commit time, milliseconds since the Unix epoch
//!     48    16  transaction
//!     64    32  link. Commit: BLAKE3 of the previous commit's whole file, zeros at version 0.
//!               Checkpoint: BLAKE3 of the commit that it stands after.
//!     96     8  length of the body
//!    104     n  body: a protobuf message
//!  104+n     4  CRC32C of everything before
//! ```
//!
//! The magic and the trailing checksum keep their place in every later format, so that damage and a newer format can
//! be told apart.

use crate::ids::{TxnId, Version};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use ulid::Ulid;

const FORMAT_VERSION: u16 = 1;
const HEADER_BYTES: usize = 104;
const CRC_BYTES: usize = 4;

/// Feature bits that this version reads; none are defined yet.
const READER_FEATURES: u64 = 0;
/// Feature bits that this version may write beside; none are defined yet.
const WRITER_FEATURES: u64 = 0;

/// The BLAKE3 of a commit's file.
pub(crate) type CommitHash = [u8; 32];

/// Which of the two forms a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordForm {
    Commit,
    Checkpoint,
}

/// Which log a file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum LogKind {
    Table = 1,
    Catalog = 2,
}

/// A commit or a checkpoint, its envelope checked, its body still opaque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) form: RecordForm,
    pub(crate) kind: LogKind,
    pub(crate) writer_features: u64,
    pub(crate) version: Version,
    pub(crate) commit_ts_ms: i64,
    pub(crate) txn: TxnId,
    pub(crate) link: CommitHash,
    pub(crate) body: Bytes,
}

/// Why bytes were refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Damage {
    /// They are not what was written.
    Corrupted(String),
    /// They were written by a newer version.
    Newer(String),
}

impl Damage {
    pub(crate) fn corrupted(detail: impl Into<String>) -> Self {
        Damage::Corrupted(detail.into())
    }

    /// The error that names the file.
    pub(crate) fn at(self, path: &object_store::path::Path) -> crate::Error {
        let path = path.to_string();
        match self {
            Damage::Corrupted(detail) => crate::Error::Corrupted { path, detail },
            Damage::Newer(detail) => crate::Error::NewerFormat { path, detail },
        }
    }
}

impl From<prost::DecodeError> for Damage {
    fn from(error: prost::DecodeError) -> Self {
        Damage::Corrupted(error.to_string())
    }
}

impl RecordForm {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            RecordForm::Commit => b"VLYCOMM\0",
            RecordForm::Checkpoint => b"VLYCKPT\0",
        }
    }
}

/// The hash that the next commit's link repeats.
pub(crate) fn hash_of(file: &[u8]) -> CommitHash {
    *blake3::hash(file).as_bytes()
}

impl Record {
    /// The bytes of the file.
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER_BYTES + self.body.len() + CRC_BYTES);
        out.put_slice(self.form.magic());
        out.put_u16_le(FORMAT_VERSION);
        out.put_u16_le(self.kind as u16);
        out.put_u32_le(0);
        out.put_u64_le(READER_FEATURES);
        out.put_u64_le(self.writer_features);
        out.put_u64_le(self.version.0);
        out.put_i64_le(self.commit_ts_ms);
        out.put_slice(&self.txn.0.to_bytes());
        out.put_slice(&self.link);
        out.put_u64_le(self.body.len() as u64);
        out.put_slice(&self.body);
        let crc = crc32c::crc32c(&out);
        out.put_u32_le(crc);
        out.freeze()
    }

    /// Checks the envelope of a file that should be this version of this log. The body shares the file's memory, so
    /// nothing is allocated whatever the bytes say.
    pub(crate) fn decode(file: Bytes, form: RecordForm, kind: LogKind, version: Version) -> Result<Record, Damage> {
        if file.len() < HEADER_BYTES + CRC_BYTES {
            return Err(Damage::Corrupted(format!("it has only {} bytes", file.len())));
        }
        if &file[..8] != form.magic() {
            return Err(Damage::corrupted("it does not start with the mark of a Volley log"));
        }
        let (checked, mut crc) = file.split_at(file.len() - CRC_BYTES);
        if crc32c::crc32c(checked) != crc.get_u32_le() {
            return Err(Damage::corrupted("its checksum does not match"));
        }
        let mut header = file.slice(8..HEADER_BYTES);
        let format = header.get_u16_le();
        if format != FORMAT_VERSION {
            return Err(Damage::Newer(format!("log format {format}, known is {FORMAT_VERSION}")));
        }
        if header.get_u16_le() != kind as u16 {
            return Err(Damage::corrupted("it belongs to a log of another kind"));
        }
        header.advance(4);
        let reader_features = header.get_u64_le();
        if reader_features & !READER_FEATURES != 0 {
            return Err(Damage::Newer(format!("it needs unknown features {:#x}", reader_features & !READER_FEATURES)));
        }
        let writer_features = header.get_u64_le();
        let found = Version(header.get_u64_le());
        if found != version {
            return Err(Damage::Corrupted(format!("it says that it is version {found}")));
        }
        let commit_ts_ms = header.get_i64_le();
        let mut txn = [0; 16];
        header.copy_to_slice(&mut txn);
        let mut link = [0; 32];
        header.copy_to_slice(&mut link);
        let length = header.get_u64_le();
        if length != (file.len() - HEADER_BYTES - CRC_BYTES) as u64 {
            return Err(Damage::Corrupted(format!("its body should have {length} bytes")));
        }
        let body = file.slice(HEADER_BYTES..file.len() - CRC_BYTES);
        let txn = TxnId(Ulid::from_bytes(txn));
        Ok(Record { form, kind, writer_features, version, commit_ts_ms, txn, link, body })
    }

    /// Whether this version may append to a log whose last record is this one.
    pub(crate) fn check_writable(writer_features: u64) -> Result<(), Damage> {
        match writer_features & !WRITER_FEATURES {
            0 => Ok(()),
            unknown => Err(Damage::Newer(format!("writing to it needs unknown features {unknown:#x}"))),
        }
    }
}
