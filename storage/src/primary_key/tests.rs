use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray,
    RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use proptest::prelude::*;

use super::{View, encode, hash_columns, hash_rows, key_text};
use crate::Error;
use crate::ids::{FieldId, SchemaId};
use crate::schema::{FIELD_ID_KEY, TableSchema};

fn hashes_of(count: usize, spread: u128) -> Vec<u128> {
    (0..count as u128).map(|n| (n % spread).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Against a map, with duplicates, below and above one block and with and without a filter.
    #[test]
    fn the_sidecar_finds_what_a_map_finds(count in 0usize..1500, spread in 1u128..2000, others in proptest::collection::vec(any::<u128>(), 20)) {
        let hashes = hashes_of(count, spread);
        let bytes = encode(&hashes).unwrap();
        let view = View::parse(&bytes).unwrap();
        view.check().unwrap();
        let mut model: HashMap<u128, Vec<u32>> = HashMap::new();
        for (row, hash) in hashes.iter().enumerate() {
            model.entry(*hash).or_default().push(row as u32);
        }
        for hash in hashes.iter().chain(&others) {
            prop_assert_eq!(view.rows(*hash).unwrap(), model.get(hash).cloned().unwrap_or_default());
        }
    }

    #[test]
    fn mutated_bytes_never_panic(count in 0usize..700, flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), cut in any::<prop::sample::Index>(), reseal: bool) {
        let hashes = hashes_of(count, 5000);
        let mut bytes = encode(&hashes).unwrap();
        for (at, with) in flips {
            // Mostly in the header, where the numbers stand that could lead astray.
            let at = if with % 2 == 0 { at.index(128) } else { at.index(bytes.len()) };
            bytes[at] = with;
        }
        if reseal {
            let crc = crc32c::crc32c(&bytes[..124]);
            bytes[124..128].copy_from_slice(&crc.to_le_bytes());
        }
        if let Ok(view) = View::parse(&bytes) {
            let _ = view.check();
            for hash in hashes.iter().take(50) {
                let _ = view.rows(*hash);
            }
        }
        prop_assert!(View::parse(&bytes[..cut.index(bytes.len())]).is_err());
    }
}

#[test]
fn a_million_keys_have_few_false_alarms() {
    let hashes = hashes_of(200_000, u128::MAX);
    let bytes = encode(&hashes).unwrap();
    let view = View::parse(&bytes).unwrap();
    let alarms = (0..100_000u128)
        .filter(|n| view.may_contain(n.wrapping_mul(0x1234_5678_9ABC_DEF1_1111_2222_3333_4445)))
        .count();
    assert!(alarms < 1000, "{alarms} of 100,000");
    assert!(bytes.len() < 200_000 * 22);
}

fn hash_one(array: ArrayRef) -> Vec<u128> {
    hash_columns(&[("k", &array)]).unwrap()
}

#[test]
fn equal_values_hash_alike_across_representations() {
    assert_eq!(hash_one(Arc::new(Int32Array::from(vec![-5, 7]))), hash_one(Arc::new(Int64Array::from(vec![-5, 7]))));
    let text = ["", "a", "a text that is longer than twelve bytes"];
    assert_eq!(
        hash_one(Arc::new(StringArray::from(text.to_vec()))),
        hash_one(Arc::new(StringViewArray::from(text.to_vec())))
    );
    let floats = hash_one(Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN, 1.0])));
    assert_eq!((floats[0], floats[2]), (floats[1], floats[3]));
    assert_ne!(floats[0], floats[4]);
}

#[test]
fn columns_do_not_run_into_each_other() {
    let pair = |a: &str, b: &str| {
        let (a, b): (ArrayRef, ArrayRef) = (Arc::new(StringArray::from(vec![a])), Arc::new(StringArray::from(vec![b])));
        hash_columns(&[("a", &a), ("b", &b)]).unwrap()[0]
    };
    assert_ne!(pair("a", "bc"), pair("ab", "c"));
    assert_ne!(pair("", "x"), pair("x", ""));
}

/// The encoding is on disks: these values must never change.
#[test]
fn hashes_are_fixed_for_ever() {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![42])),
        Arc::new(StringViewArray::from(vec!["volley"])),
        Arc::new(BooleanArray::from(vec![true])),
        Arc::new(Decimal128Array::from(vec![12345]).with_precision_and_scale(10, 2).unwrap()),
        Arc::new(Date32Array::from(vec![20000])),
        Arc::new(TimestampMicrosecondArray::from(vec![1_700_000_000_000_000])),
        Arc::new(BinaryArray::from(vec![&[1u8, 2, 3][..]])),
        Arc::new(Float64Array::from(vec![1.5])),
    ];
    let found: Vec<String> = columns.into_iter().map(|c| format!("{:032x}", hash_one(c)[0])).collect();
    assert_eq!(found, FIXED);
}

const FIXED: [&str; 8] = [
    "59397ca44aa20766fd00d3b01586fcb7",
    "0e88216f729febd7a0aa5377c64df7e2",
    "8a8d7bfa72105a9dadc3577698089ef9",
    "e84955d226aefe1fec024d1b265ad93c",
    "198d73836b20882cd5b114bba402934b",
    "444157a865230e49078c0d8f7da6304a",
    "ac87ac1356a610e439af820c48185f23",
    "dd750106be66fbcc3217a56210510795",
];

fn schema(key: &[i32]) -> TableSchema {
    let field = |name: &str, id: i32, t: DataType| {
        Field::new(name, t, true).with_metadata(HashMap::from([(FIELD_ID_KEY.to_string(), id.to_string())]))
    };
    let fields = vec![field("id", 1, DataType::Int32), field("name", 2, DataType::Utf8)];
    TableSchema {
        id: SchemaId(0),
        arrow: Arc::new(Schema::new(fields)),
        primary_key: key.iter().map(|id| FieldId(*id)).collect(),
        defaults: Default::default(),
    }
}

#[test]
fn keys_are_hashed_in_key_order_and_shown_as_in_postgres() {
    let ids: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
    let names: ArrayRef = Arc::new(StringArray::from(vec!["x", "y"]));
    let schema = schema(&[2, 1]);
    let batch = RecordBatch::try_new(Arc::clone(&schema.arrow), vec![Arc::clone(&ids), Arc::clone(&names)]).unwrap();
    assert_eq!(key_text(&schema, &batch, 0), "(name, id)=(x, 1)");
    assert!(matches!(hash_rows(&schema, &batch), Err(Error::NotNull { column }) if column == "id"));
    let first = batch.slice(0, 1);
    let (n, i) = (names.slice(0, 1), ids.slice(0, 1));
    assert_eq!(hash_rows(&schema, &first).unwrap(), hash_columns(&[("name", &n), ("id", &i)]).unwrap());
}

#[test]
fn a_list_cannot_be_a_key() {
    let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1)])]));
    assert!(hash_columns(&[("l", &list)]).unwrap_err().to_string().contains("\"l\""));
}
