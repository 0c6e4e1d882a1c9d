use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::{decode, encode};

fn bitmaps() -> impl Strategy<Value = RoaringBitmap> {
    let scattered = proptest::collection::vec(0u32..1 << 20, 0..300).prop_map(RoaringBitmap::from_iter);
    let ranges = proptest::collection::vec((0u32..1 << 20, 0u32..5000), 0..5).prop_map(|ranges| {
        let mut bitmap = RoaringBitmap::new();
        for (start, length) in ranges {
            bitmap.insert_range(start..(start + length).min(1 << 20));
        }
        bitmap.optimize();
        bitmap
    });
    prop_oneof![scattered, ranges]
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(bitmap in bitmaps()) {
        prop_assert_eq!(decode("dv", &encode(&bitmap).unwrap()).unwrap(), bitmap);
    }

    #[test]
    fn mutated_bytes_are_refused(bitmap in bitmaps(), at in any::<prop::sample::Index>(), flip in 1u8.., cut in any::<prop::sample::Index>()) {
        let bytes = encode(&bitmap).unwrap();
        let mut mutated = bytes.to_vec();
        let at = at.index(mutated.len());
        mutated[at] ^= flip;
        prop_assert!(decode("dv", &mutated).is_err());
        prop_assert!(decode("dv", &bytes[..cut.index(bytes.len())]).is_err());
    }

    /// A correct checksum over nonsense, as a hostile file would have.
    #[test]
    fn sealed_nonsense_never_panics(body in proptest::collection::vec(any::<u8>(), 0..200), bitmap in bitmaps(), at in any::<prop::sample::Index>(), with: u8) {
        let mut honest = encode(&bitmap).unwrap().to_vec();
        honest.truncate(honest.len() - 4);
        let at = at.index(honest.len());
        honest[at] = with;
        let nonsense = [&honest[..16], &body].concat();
        for mut bytes in [honest.clone(), nonsense] {
            let crc = crc32c::crc32c(&bytes);
            bytes.extend_from_slice(&crc.to_le_bytes());
            let _ = decode("dv", &bytes);
        }
    }
}

#[test]
fn rows_beyond_any_segment_are_refused() {
    assert!(encode(&RoaringBitmap::from_iter([1 << 20])).is_err());
}

#[test]
fn errors_name_the_file() {
    assert!(decode("tables/x/dv/y.vdv", b"nonsense").unwrap_err().to_string().contains("tables/x/dv/y.vdv"));
}
