use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, FixedSizeListArray, Int64Array, ListArray, StringArray,
    StringViewArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Int32Type, Int64Type};
use datafusion::common::ScalarValue;
use proptest::prelude::*;
use volley_storage::ErrorKind;

use super::*;
use crate::error::Error;

fn message(text: &str) -> String {
    text::parse(text).unwrap_err().to_string()
}

#[test]
fn text_is_read() {
    assert_eq!(text::parse("[1,2,3]").unwrap(), [1.0, 2.0, 3.0]);
    assert_eq!(text::parse(" \t[ 1 , -2.5e-3\n,+.5 , 7. ] ").unwrap(), [1.0, -0.0025, 0.5, 7.0]);
    assert_eq!(text::parse("[1e-60]").unwrap(), [0.0]);
    assert_eq!(text::count_elements("[1, 2, 3]"), 3);
}

#[test]
fn wrong_text_says_what_and_where() {
    assert_eq!(message("1,2"), "invalid input for type vector: a vector starts with \"[\"; found \"1\" at character 1");
    assert_eq!(message("[1,,2]"), "invalid input for type vector: element 2 is missing; found \",\" at character 4");
    assert_eq!(message("[1,2"), "invalid input for type vector: expected \",\" or \"]\"; the text ends at character 5");
    assert_eq!(
        message("[1,é]"),
        "invalid input for type vector: element 2 is not a number: \"é\"; found \"é\" at character 4"
    );
    assert_eq!(message("[1 2]"), "invalid input for type vector: expected \",\" or \"]\"; found \"2\" at character 4");
    assert_eq!(
        message("[1]x"),
        "invalid input for type vector: nothing may follow the closing \"]\"; found \"x\" at character 4"
    );
    assert_eq!(message(""), "invalid input for type vector: a vector starts with \"[\"; the text ends at character 1");
    assert_eq!(message("[1,"), "invalid input for type vector: element 2 is missing; the text ends at character 4");
    assert_eq!(message("[[1]]"), "invalid input for type vector: element 1 is missing; found \"[\" at character 2");
    for text in ["1,2", "[1,,2]", "[1,2", "[0x10]", "{1}", "[1]]", "[1.2.3]"] {
        assert_eq!(text::parse(text).unwrap_err().kind(), ErrorKind::InvalidText, "{text}");
    }
}

#[test]
fn elements_out_of_bounds_are_refused() {
    assert_eq!(message("[1,NaN]"), "NaN is not allowed in a vector (element 2)");
    assert_eq!(message("[-inf]"), "-inf is not allowed in a vector (element 1)");
    assert_eq!(message("[Infinity]"), "inf is not allowed in a vector (element 1)");
    assert_eq!(message("[0,1e39]"), "1e39 is out of range for a vector element (element 2)");
    assert_eq!(text::parse("[nan]").unwrap_err().kind(), ErrorKind::InvalidValue);
    assert_eq!(text::parse("[1e39]").unwrap_err().kind(), ErrorKind::OutOfRange);
    assert_eq!(message("[]"), "a vector must have at least 1 dimension");
    assert_eq!(message(" [ ] "), "a vector must have at least 1 dimension");
}

#[test]
fn dimensions_have_a_limit() {
    let of = |n: usize| format!("[{}]", vec!["1"; n].join(","));
    assert_eq!(text::parse(&of(VECTOR_DIMENSIONS_MAX)).unwrap().len(), 32_768);
    let error = text::parse(&of(40_000)).unwrap_err();
    assert_eq!(error.to_string(), "a vector cannot have more than 32768 dimensions, this one has 40000");
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(vector_type(32_768).is_ok());
    assert_eq!(vector_type(32_769).unwrap_err().kind(), ErrorKind::LimitExceeded);
    assert_eq!(vector_type(0).unwrap_err().kind(), ErrorKind::LimitExceeded);
}

#[test]
fn text_is_written_as_pgvector_writes_it() {
    assert_eq!(text::format(&[1.0, 2.0, 3.0]), "[1,2,3]");
    assert_eq!(text::format(&[0.1, -2.5, 123456.0, 1234567.0]), "[0.1,-2.5,123456,1.234567e+06]");
    assert_eq!(text::format(&[1e6, 999999.0, 1e-4, 1e-5, 3.4e38]), "[1e+06,999999,0.0001,1e-05,3.4e+38]");
    assert_eq!(text::format(&[0.0, -0.0, 1e-45, f32::MAX]), "[0,-0,1e-45,3.4028235e+38]");
}

proptest! {
    #[test]
    fn text_round_trips(vector in prop::collection::vec(any::<f32>().prop_filter("finite", |x| x.is_finite()), 1..40)) {
        let text = text::format(&vector);
        let back = text::parse(&text).unwrap();
        prop_assert_eq!(
            back.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
            vector.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        );
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
        let _ = text::parse(&text);
    }

    #[test]
    fn almost_vectors_are_read_or_refused(text in "[\\[\\],0-9.eE+\\- naif]{0,24}") {
        if let Ok(vector) = text::parse(&text) {
            prop_assert!(!vector.is_empty() && vector.iter().all(|x| x.is_finite()));
            prop_assert_eq!(vector.len(), text::count_elements(&text));
        }
    }
}

#[test]
fn types_are_recognised() {
    let three = vector_type(3).unwrap();
    assert_eq!(three, DataType::FixedSizeList(Arc::new(Field::new("item", DataType::Float32, false)), 3));
    assert_eq!(vector_dimension(&three), Some(3));
    assert!(is_vector(&three) && is_vector_like(&three) && !is_unsized_vector(&three));
    assert!(is_unsized_vector(&unsized_vector_type()) && vector_dimension(&unsized_vector_type()).is_none());
    assert!(is_vector_like(&DataType::Utf8View) && is_vector_like(&DataType::Null));
    assert!(is_vector_like(&DataType::new_list(DataType::Int32, true)));
    assert!(!is_vector_like(&DataType::Int32) && !is_vector_like(&DataType::new_list(DataType::Utf8, true)));
    assert_eq!(type_name(&three), "vector(3)");
    let field = vector_field("emb", 3, false).unwrap();
    assert_eq!((field.name().as_str(), field.data_type(), field.is_nullable()), ("emb", &three, false));
}

fn rows(vectors: &Vectors) -> Vec<Option<Vec<f32>>> {
    (0..vectors.len()).map(|row| vectors.get(row).map(<[f32]>::to_vec)).collect()
}

#[test]
fn every_form_of_rows_is_read() {
    let expected = vec![Some(vec![1.0, 2.0]), None, Some(vec![3.0, 4.5])];
    let items = [Some([Some(1.0), Some(2.0)]), None, Some([Some(3.0), Some(4.5)])];
    let of_doubles = ListArray::from_iter_primitive::<Float64Type, _, _>(items);
    let of_floats = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(
        items.map(|row| row.map(|row| row.map(|x: Option<f64>| x.map(|x| x as f32)))),
        2,
    );
    let texts = [Some("[1,2]"), None, Some("[3, 4.5]")];
    let dictionary: DictionaryArray<Int32Type> = texts.into_iter().collect();
    let forms: Vec<ArrayRef> = vec![
        Arc::new(FixedSizeListArray::from_iter_primitive::<Float64Type, _, _>(items, 2)),
        Arc::new(of_doubles),
        Arc::new(of_floats),
        Arc::new(StringArray::from_iter(texts)),
        Arc::new(StringViewArray::from_iter(texts)),
        Arc::new(dictionary),
    ];
    for form in forms {
        let vectors = Vectors::try_checked(&form).unwrap();
        assert_eq!(rows(&vectors), expected, "{}", form.data_type());
        assert_eq!(rows(&Vectors::try_new(&form.slice(1, 2)).unwrap()), expected[1..], "{}", form.data_type());
        let array = vectors.into_array(2).unwrap();
        assert_eq!(array.data_type(), &vector_type(2).unwrap());
        assert_eq!(rows(&Vectors::try_new(&array).unwrap()), expected);
    }
}

#[test]
fn rows_of_a_vector_column_are_not_copied() {
    let array = Vectors::try_new(&StringArray::from(vec!["[1,2]", "[3,4]", "[5,6]"])).unwrap().into_array(2).unwrap();
    let vectors = Vectors::try_new(&array.slice(1, 2)).unwrap();
    assert_eq!(vectors.matrix(), Some(([3.0f32, 4.0, 5.0, 6.0].as_slice(), 2)));
}

#[test]
fn bad_rows_are_refused() {
    let error = |array: ArrayRef| Vectors::try_checked(&array).unwrap_err();
    let with_null = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None])]);
    assert!(matches!(error(Arc::new(with_null)), Error::NullElement { position: 2 }));
    let with_nan = ListArray::from_iter_primitive::<Float64Type, _, _>([Some(vec![Some(f64::NAN)])]);
    assert!(matches!(error(Arc::new(with_nan)), Error::NotFinite { position: 1, .. }));
    let too_large = ListArray::from_iter_primitive::<Float64Type, _, _>([Some(vec![Some(1e300)])]);
    assert!(matches!(error(Arc::new(too_large)), Error::ElementOutOfRange { position: 1, .. }));
    let empty = ListArray::from_iter_primitive::<Float64Type, _, _>([Some(Vec::<Option<f64>>::new())]);
    assert!(matches!(error(Arc::new(empty)), Error::NoDimensions));
    let stored_nan = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>([Some([Some(f32::NAN)])], 1);
    assert!(matches!(error(Arc::new(stored_nan)), Error::NotFinite { .. }));
    assert_eq!(error(Arc::new(BooleanArray::from(vec![true]))).kind(), ErrorKind::DatatypeMismatch);
    assert_eq!(error(Arc::new(Int64Array::from(vec![1]))).to_string(), "cannot take Int64 as a vector");
    let ragged = Vectors::try_new(&StringArray::from(vec!["[1,2]", "[1,2,3]"])).unwrap();
    assert_eq!(ragged.into_array(2).unwrap_err().to_string(), "expected 2 dimensions, not 3");
}

#[test]
fn scalars_become_vectors() {
    assert_eq!(scalar_to_vector(&ScalarValue::from("[1,2]")).unwrap(), Some(vec![1.0, 2.0]));
    assert_eq!(scalar_to_vector(&ScalarValue::Null).unwrap(), None);
    assert_eq!(scalar_to_vector(&ScalarValue::Utf8(None)).unwrap(), None);
    let list = ScalarValue::new_list_nullable(&[ScalarValue::Int32(Some(3))], &DataType::Int32);
    assert_eq!(scalar_to_vector(&ScalarValue::List(list)).unwrap(), Some(vec![3.0]));
    let vector = vector_to_scalar(vec![1.0, 2.0]).unwrap();
    assert_eq!(vector.data_type(), vector_type(2).unwrap());
    assert_eq!(scalar_to_vector(&vector).unwrap(), Some(vec![1.0, 2.0]));
    assert!(scalar_to_vector(&ScalarValue::try_from(&vector_type(2).unwrap()).unwrap()).unwrap().is_none());
    assert!(scalar_to_vector(&ScalarValue::Float64(Some(1.0))).is_err());
}
