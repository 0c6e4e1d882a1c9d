//! A look at the ends of Parquet files before the Parquet reader sees them: it takes the length of the metadata on trust
//! and panics when a truncated file is shorter than that.

use datafusion::common::Result;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::execution::SessionState;
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use volley_storage::ErrorKind;

use crate::error::Error;

/// Magic in front, the metadata's length and magic behind.
const LEAST_BYTES: u64 = 12;
/// The metadata's length and the magic.
const FOOTER_BYTES: u64 = 8;

/// Refuses a file that does not end as a Parquet file does. Of a directory's files those with `ending` are looked at.
pub(crate) async fn check_footers(state: &SessionState, url: &ListingTableUrl, ending: &str) -> Result<()> {
    let store = state.runtime_env().object_store(url)?;
    let mut files = url.list_all_files(state, store.as_ref(), ending).await?;
    while let Some(file) = files.try_next().await? {
        check(store.as_ref(), &file).await?;
    }
    Ok(())
}

async fn check(store: &dyn ObjectStore, file: &ObjectMeta) -> Result<()> {
    let refuse = |problem: &str| {
        let sentence = format!("{} cannot be read as Parquet: {problem}", file.location);
        Err(Error::invalid(ErrorKind::BadCopyFile, sentence).into())
    };
    if file.size < LEAST_BYTES {
        return refuse("it is too short");
    }
    let footer = store.get_range(&file.location, file.size - FOOTER_BYTES..file.size).await?;
    let Some((length, magic)) = footer.split_first_chunk::<4>() else { return refuse("it is too short") };
    let metadata_bytes = u64::from(u32::from_le_bytes(*length));
    match magic {
        b"PAR1" if metadata_bytes + LEAST_BYTES <= file.size => Ok(()),
        b"PAR1" => refuse("it is shorter than its metadata, so a part of it is missing"),
        b"PARE" => refuse("it is encrypted"),
        _ => refuse("it does not end as a Parquet file does"),
    }
}
