use std::sync::Arc;

use arrow::array::{FixedSizeListArray, Float32Array};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::datatypes::{DataType, Field};
use proptest::prelude::*;

use super::{DATA_OFFSET, View, Writer};

fn array(rows: &[Option<Vec<f32>>], dim: usize) -> FixedSizeListArray {
    // NULL rows hold garbage, as they may.
    let values: Vec<f32> = rows.iter().flat_map(|r| r.clone().unwrap_or_else(|| vec![f32::NAN; dim])).collect();
    let nulls = NullBuffer::from(rows.iter().map(Option::is_some).collect::<Vec<_>>());
    let item = Arc::new(Field::new("item", DataType::Float32, false));
    FixedSizeListArray::new(item, dim as i32, Arc::new(Float32Array::from(values)), Some(nulls))
}

fn write(rows: &[Option<Vec<f32>>], dim: usize, pieces: usize) -> Buffer {
    let mut writer = Writer::new(Vec::new(), dim).unwrap();
    let all = array(rows, dim);
    for start in (0..rows.len()).step_by(pieces.max(1)) {
        writer.push(&all.slice(start, pieces.max(1).min(rows.len() - start))).unwrap();
    }
    Buffer::from(writer.finish().unwrap().as_slice())
}

fn rows_of(dim: usize) -> impl Strategy<Value = Vec<Option<Vec<f32>>>> {
    proptest::collection::vec(proptest::option::weighted(0.8, proptest::collection::vec(-9f32..9.0, dim)), 0..70)
}

proptest! {
    #[test]
    fn what_was_written_is_read((dim, rows) in (1usize..9).prop_flat_map(|d| (Just(d), rows_of(d))), pieces in 1usize..20) {
        let bytes = write(&rows, dim, pieces);
        let view = View::parse(&bytes).unwrap();
        prop_assert_eq!((view.rows, view.dim), (rows.len(), dim));
        prop_assert_eq!(view.null_count, rows.iter().filter(|r| r.is_none()).count());
        prop_assert_eq!(view.data.len(), rows.len() * dim);
        for (index, row) in rows.iter().enumerate() {
            prop_assert_eq!(view.is_null(index), row.is_none());
            let expected = row.clone().unwrap_or(vec![0.0; dim]);
            prop_assert_eq!(view.row(index).unwrap(), expected.as_slice());
        }
        prop_assert!(view.is_null(rows.len()) && view.row(rows.len()).is_none());
        prop_assert_eq!(view.data.as_ptr() as usize - bytes.as_ptr() as usize, DATA_OFFSET);
    }

    /// A changed byte is refused, or changes nothing but an element's value, which the file's BLAKE3 covers.
    #[test]
    fn mutated_bytes_never_panic(rows in rows_of(3), at in any::<prop::sample::Index>(), with: u8, cut in any::<prop::sample::Index>()) {
        let bytes = write(&rows, 3, 7);
        let mut mutated = bytes.to_vec();
        let at = at.index(mutated.len());
        let changed = mutated[at] != with;
        mutated[at] = with;
        let mutated = Buffer::from(mutated.as_slice());
        match View::parse(&mutated) {
            Ok(view) => {
                prop_assert_eq!((view.rows, view.dim), (rows.len(), 3));
                let in_data = (DATA_OFFSET..DATA_OFFSET + rows.len() * 12).contains(&at);
                let in_bitmap = at >= DATA_OFFSET + rows.len() * 12 && at < mutated.len() - 64;
                prop_assert!(!changed || in_data || in_bitmap);
            }
            Err(_) => prop_assert!(changed),
        }
        let shorter = Buffer::from(&bytes[..cut.index(bytes.len())]);
        prop_assert!(View::parse(&shorter).is_err());
        let unaligned = Buffer::from([&[0u8][..], &bytes].concat().as_slice());
        prop_assert!(View::parse(&unaligned[1..]).is_err() || rows.is_empty());
    }
}

#[test]
fn a_newer_format_is_told_apart() {
    let mut bytes = write(&[Some(vec![1.0])], 1, 1).to_vec();
    bytes[8] = 2;
    assert!(matches!(View::parse(&Buffer::from(bytes.as_slice())), Err(crate::Error::NewerFormat { .. })));
}

#[test]
fn another_dimension_is_refused() {
    let mut writer = Writer::new(Vec::new(), 3).unwrap();
    assert!(writer.push(&array(&[Some(vec![1.0, 2.0])], 2)).is_err());
}
