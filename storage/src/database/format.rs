//! `volley.vfm`: the format of a data directory.
//!
//! ```text
//! offset  size  field
//!      0     8  magic "VLYDIR\0\0"
//!      8     2  format version (little endian)
//!     10     6  zero
//!     16     8  features that a reader has to know
//!     24     4  CRC32C of everything before
//! ```

use crate::env::Env;
use crate::error::{Error, Result};
use crate::ids::Version;
use crate::log::LogFiles;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use object_store::path::Path;

const MAGIC: &[u8; 8] = b"VLYDIR\0\0";
const FORMAT_VERSION: u16 = 1;
const FEATURES: u64 = 0;
const LENGTH: usize = 28;

/// Whether a directory has the mark, whatever it says, or a catalog without one.
pub(super) async fn is_marked(env: &Env) -> Result<bool> {
    let files = LogFiles { env: env.clone(), root: Path::from("catalog") };
    Ok(files.read(&Path::from("volley.vfm")).await?.is_some() || files.read(&files.commit(Version(0))).await?.is_some())
}

/// Refuses a directory of another format; marks an empty one as of this format.
pub(super) async fn check(env: &Env) -> Result<()> {
    let path = Path::from("volley.vfm");
    let files = LogFiles { env: env.clone(), root: Path::from("catalog") };
    if let Some(bytes) = files.read(&path).await? {
        return decode(bytes);
    }
    if files.read(&files.commit(Version(0))).await?.is_some() {
        // Two processes may open an empty directory at once, so the mark is looked for again behind the catalog.
        return match files.read(&path).await? {
            Some(bytes) => decode(bytes),
            None => Err(corrupted("it is missing although the directory holds a catalog")),
        };
    }
    // Another process creating the same bytes is as good; any other failure shows when they are read back.
    let reply = files.create(&path, encode()).await;
    match (files.read(&path).await?, reply) {
        (Some(bytes), _) => decode(bytes),
        (None, Some(Err(source))) => Err(Error::store("write", &path, source)),
        (None, _) => {
            Err(Error::Io { action: "write", path: path.to_string(), source: std::io::ErrorKind::TimedOut.into() })
        }
    }
}

fn encode() -> Bytes {
    let mut out = BytesMut::with_capacity(LENGTH);
    out.put_slice(MAGIC);
    out.put_u16_le(FORMAT_VERSION);
    out.put_bytes(0, 6);
    out.put_u64_le(FEATURES);
    let crc = crc32c::crc32c(&out);
    out.put_u32_le(crc);
    out.freeze()
}

fn decode(bytes: Bytes) -> Result<()> {
    if bytes.len() < LENGTH || &bytes[..8] != MAGIC {
        return Err(corrupted("it does not start with the mark of a Volley data directory"));
    }
    let (checked, mut crc) = bytes.split_at(bytes.len() - 4);
    if crc32c::crc32c(checked) != crc.get_u32_le() {
        return Err(corrupted("its checksum does not match"));
    }
    let mut fields = &bytes[8..];
    let format = fields.get_u16_le();
    fields.advance(6);
    let unknown = fields.get_u64_le() & !FEATURES;
    let newer = |detail| Err(Error::NewerFormat { path: "volley.vfm".into(), detail });
    if format != FORMAT_VERSION {
        return newer(format!("directory format {format}, known is {FORMAT_VERSION}"));
    }
    if unknown != 0 {
        return newer(format!("it needs unknown features {unknown:#x}"));
    }
    Ok(())
}

fn corrupted(detail: &str) -> Error {
    Error::Corrupted { path: "volley.vfm".into(), detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_itself_and_refuses_newer_and_damaged() {
        assert!(decode(encode()).is_ok());
        let mut newer = encode()[..24].to_vec();
        newer[8] = 2;
        let crc = crc32c::crc32c(&newer);
        newer.put_u32_le(crc);
        assert!(matches!(decode(newer.into()), Err(Error::NewerFormat { .. })));
        for byte in 0..LENGTH {
            let mut damaged = encode().to_vec();
            damaged[byte] ^= 1;
            assert!(matches!(decode(damaged.into()), Err(Error::Corrupted { .. })), "byte {byte}");
        }
        for length in 0..LENGTH {
            assert!(decode(encode().slice(..length)).is_err());
        }
    }
}
