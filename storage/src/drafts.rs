//! What one process wrote for another to commit, as bytes: staged segments and sidecars.
//!
//! Only processes of one version exchange them, so their form is free to change; they are never at rest. The messages are
//! those of commits, with the key hashes that a commit does not need.

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::ids::SegmentId;
use crate::log::Damage;
use crate::schema::TableSchema;
use crate::segment::Sidecar;
use crate::store::StagedSegment;
use crate::table;

/// Staged segments as bytes.
///
/// # Errors
/// Rows that Arrow cannot write.
pub fn encode_staged(segments: &[StagedSegment]) -> Result<Bytes> {
    table::encode_staged(segments)
}

/// The staged segments of a table with this schema, which another process began to write at `begun_ms` at the earliest, by the clock
/// of this one. The bytes may be anything.
///
/// # Errors
/// [`Error::Internal`], saying what is wrong with them.
pub fn decode_staged(bytes: Bytes, schema: &TableSchema, begun_ms: u64) -> Result<Vec<StagedSegment>> {
    table::decode_staged(bytes, schema, begun_ms).map_err(|damage| unreadable("staged segments", damage))
}

/// Sidecars as bytes.
pub fn encode_sidecars(sidecars: &[Sidecar]) -> Bytes {
    table::encode_sidecars(sidecars)
}

/// The sidecars of a segment. The bytes may be anything.
///
/// # Errors
/// [`Error::Internal`], saying what is wrong with them.
pub fn decode_sidecars(bytes: Bytes, segment: SegmentId) -> Result<Vec<Sidecar>> {
    table::decode_sidecars(bytes, segment).map_err(|damage| unreadable("sidecars", damage))
}

fn unreadable(what: &str, damage: Damage) -> Error {
    let detail = match damage {
        Damage::Corrupted(detail) => detail,
        Damage::Newer(detail) => format!("they come from a newer Volley: {detail}"),
    };
    Error::Internal { detail: format!("another node's {what} cannot be read: {detail}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use crate::ids::FieldId;
    use crate::segment::{FileRef, SidecarKind};
    use crate::store::TableStore;
    use crate::{Database, memory_env};
    use futures::{StreamExt, stream};
    use proptest::prelude::*;

    /// One inline segment and one in files, of a table with a primary key.
    async fn staged() -> (TableSchema, Vec<StagedSegment>) {
        let database = Database::open(memory_env()).await.unwrap();
        let table = fixtures::table(&database, true).await;
        let base = fixtures::begin(&database, table, "INSERT").await.unwrap().base;
        let mut segments = Vec::new();
        for ids in [(0..5).collect::<Vec<i64>>(), (5..5_000).collect()] {
            let rows = fixtures::rows(&base.schema, &ids);
            segments.extend(database.stage(&base, stream::iter([Ok(rows)]).boxed()).await.unwrap());
        }
        (base.schema.as_ref().clone(), segments)
    }

    fn sidecars(segment: SegmentId) -> Vec<Sidecar> {
        let file = FileRef { path: format!("seg/{segment}/y.hnsw"), length: 5, blake3: [7; 32] };
        let parameters = vec![("m".to_owned(), "16".to_owned())];
        let index = SidecarKind::Index("hnsw".into());
        vec![Sidecar { kind: index, columns: vec![FieldId(3)], parameters, format_version: 1, file }]
    }

    fn shown(segments: &[StagedSegment]) -> String {
        format!("{segments:?}")
    }

    #[tokio::test]
    async fn segments_arrive_as_they_were_staged() {
        let (schema, mut segments) = staged().await;
        assert_eq!(segments.len(), 2);
        let back = decode_staged(encode_staged(&segments).unwrap(), &schema, 17).unwrap();
        segments.iter_mut().for_each(|segment| segment.begun_ms = 17);
        assert_eq!(shown(&back), shown(&segments));
        assert_eq!(back[1].key_hashes.len(), 4_995);
        let (id, other) = (segments[0].id, segments[1].id);
        assert_eq!(decode_sidecars(encode_sidecars(&sidecars(id)), id).unwrap(), sidecars(id));
        decode_sidecars(encode_sidecars(&sidecars(id)), other).unwrap_err();
    }

    #[tokio::test]
    async fn segments_that_contradict_themselves_are_refused() {
        let (schema, segments) = staged().await;
        let wrong = |change: fn(&mut StagedSegment)| {
            let mut segments = segments.clone();
            change(&mut segments[1]);
            decode_staged(encode_staged(&segments).unwrap(), &schema, 0).map(|_| ())
        };
        wrong(|_| ()).unwrap();
        wrong(|segment| segment.key_hashes = [1, 2].into()).unwrap_err();
        wrong(|segment| segment.rows -= 1).unwrap_err();
        wrong(|segment| segment.rows = 0).unwrap_err();
        wrong(|segment| segment.id.0 = ulid::Ulid::from_parts(1, 1)).unwrap_err();
        let without_key = fixtures::schema(false);
        decode_staged(encode_staged(&segments).unwrap(), &without_key, 0).unwrap_err();
    }

    #[tokio::test]
    async fn damaged_bytes_are_refused_or_read_but_never_a_panic() {
        let (schema, segments) = staged().await;
        let bytes = encode_staged(&segments[..1]).unwrap();
        for end in 0..bytes.len() {
            let _ = decode_staged(bytes.slice(..end), &schema, 0);
            let mut flipped = bytes.to_vec();
            flipped[end] ^= 0x41;
            let _ = decode_staged(flipped.into(), &schema, 0);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode_staged(bytes.clone().into(), &fixtures::schema(true), 0);
            let _ = decode_sidecars(bytes.into(), SegmentId(ulid::Ulid::from_parts(1, 1)));
        }
    }
}
