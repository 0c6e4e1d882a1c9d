use datafusion::arrow::array::{AsArray, FixedSizeListArray, Float64Array};
use datafusion::arrow::datatypes::{DataType, Field, Float64Type};
use datafusion::common::config::ConfigOptions;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use proptest::prelude::*;
use volley_index::Metric;

use super::*;
use crate::types::{vector_to_scalar, vector_type};

#[tokio::test]
async fn distances_of_constants() {
    let context = session();
    assert_eq!(value(&context, "l2_distance('[0,0]', '[3,4]')").await, "5.0");
    assert_eq!(value(&context, "l1_distance('[0,0]', ARRAY[3,4])").await, "7.0");
    assert_eq!(value(&context, "inner_product(ARRAY[1.0, 2.0], '[3,4]')").await, "11.0");
    assert_eq!(value(&context, "negative_inner_product('[1,2]', '[3,4]')").await, "-11.0");
    assert_eq!(value(&context, "cosine_distance('[1,0]', '[0,2]')").await, "1.0");
    assert_eq!(value(&context, "cosine_distance('[1,0]', '[0,0]')").await, "NULL");
    assert_eq!(value(&context, "l2_distance(NULL, '[0,0]')").await, "NULL");
    assert_eq!(value(&context, "l2_distance(NULL, NULL)").await, "NULL");
    assert_eq!(value(&context, "arrow_typeof(l2_distance('[1]', '[2]'))").await, "Float64");
}

#[tokio::test]
async fn distances_of_a_column() {
    let context = session();
    for constant in ["'[1,2,3]'", "ARRAY[1,2,3]", "ARRAY[1.0,2,3]", "to_vector('[1,2,3]', 3)", "to_vector('[1,2,3]')"] {
        for call in [format!("l1_distance(emb, {constant})"), format!("l1_distance({constant}, emb)")] {
            let sql = format!("SELECT id, {call} FROM t ORDER BY id");
            assert_eq!(rows(&context, &sql).await, ["1 0.0", "2 9.0", "3 NULL", "4 6.0"], "{sql}");
        }
    }
    assert_eq!(
        rows(&context, "SELECT inner_product(emb, other), l1_distance(emb, txt) FROM t ORDER BY id").await,
        ["1.0 0.0", "5.0 9.0", "NULL NULL", "NULL NULL"]
    );
    assert_eq!(
        rows(&context, "SELECT cosine_distance(emb, '[1,2,3]') IS NULL FROM t ORDER BY id").await,
        ["false", "false", "true", "true"]
    );
    assert_eq!(
        rows(&context, "SELECT id FROM t WHERE l2_distance(emb, '[1,2,4]') < 2 ORDER BY l2_distance(emb, '[1,2,4]')")
            .await,
        ["1"]
    );
    assert_eq!(rows(&context, "SELECT l2_distance(emb, NULL) FROM t LIMIT 1").await, ["NULL"]);
    assert_eq!(
        rows(&context, "SELECT l1_distance(emb, (SELECT emb FROM t WHERE id = 2)) FROM t ORDER BY id").await,
        ["9.0", "0.0", "NULL", "15.0"]
    );
    assert_eq!(
        rows(&context, "SELECT a.id, b.id FROM t a JOIN t b ON l1_distance(a.emb, b.emb) = 9 ORDER BY 1").await,
        ["1 2", "2 1"]
    );
    assert_eq!(
        rows(&context, "SELECT l1_distance(coalesce(emb, to_vector('[9,9,9]', 3)), '[9,9,9]') FROM t ORDER BY id")
            .await,
        ["21.0", "12.0", "0.0", "27.0"]
    );
    assert_eq!(rows(&context, "SELECT l2_distance(emb, NULL::text) FROM t LIMIT 1").await, ["NULL"]);
}

#[tokio::test]
async fn wrong_arguments_are_one_sentence() {
    let context = session();
    for constant in ["'[1,2,3,4]'", "ARRAY[1,2,3,4]", "to_vector('[1,2,3,4]', 4)", "to_vector('[1,2,3,4]')"] {
        let sql = format!("SELECT l2_distance(emb, {constant}) FROM t");
        assert_eq!(failure(&context, &sql).await, "different vector dimensions 3 and 4", "{sql}");
    }
    assert_eq!(
        failure(&context, "SELECT l2_distance('[1]', txt) FROM t WHERE id = 1").await,
        "different vector dimensions 3 and 1"
    );
    assert_eq!(failure(&context, "SELECT l2_distance('[1]', '[1,2]')").await, "different vector dimensions 1 and 2");
    assert_eq!(
        failure(&context, "SELECT l2_distance(emb, '[1,2,x]') FROM t").await,
        "invalid input for type vector: element 3 is not a number: \"x\"; found \"x\" at character 6"
    );
    assert_eq!(
        failure(&context, "SELECT l2_distance(emb, ARRAY[1, NULL, 2]) FROM t").await,
        "NULL is not allowed in a vector (element 2)"
    );
    assert_eq!(
        failure(&context, "SELECT l2_distance(emb, 3) FROM t").await,
        "l2_distance(vector(3), Int64) does not exist; it takes two vectors"
    );
    assert_eq!(
        failure(&context, "SELECT l2_distance(emb) FROM t").await,
        "l2_distance takes 2 vectors, it was called with 1 argument"
    );
    assert_eq!(
        failure(&context, "SELECT l2_distance(emb, true) FROM t").await,
        "l2_distance(vector(3), Boolean) does not exist; it takes two vectors"
    );
}

#[tokio::test]
async fn measures_and_arithmetic() {
    let context = session();
    assert_eq!(
        rows(&context, "SELECT vector_dims(emb), l2_norm(other), vector_norm(txt) > 3 FROM t ORDER BY id").await,
        ["3 1.0 true", "3 1.0 true", "NULL 1.0 false", "3 NULL NULL"]
    );
    assert_eq!(value(&context, "vector_dims('[1,2]')").await, "2");
    assert_eq!(value(&context, "l2_norm(ARRAY[3,4])").await, "5.0");
    assert_eq!(value(&context, "vector_to_text(l2_normalize('[3,4]'))").await, "[0.6,0.8]");
    assert_eq!(
        rows(&context, "SELECT l2_normalize(emb)::text FROM t WHERE id >= 3 ORDER BY id").await,
        ["NULL", "[0,0,0]"]
    );
    assert_eq!(
        rows(&context, "SELECT (emb + other)::text, (emb - '[1,1,1]')::text, (emb * emb)::text FROM t ORDER BY id")
            .await,
        ["[2,2,3] [0,1,2] [1,4,9]", "[4,6,6] [3,4,5] [16,25,36]", "NULL NULL NULL", "NULL [-1,-1,-1] [0,0,0]"]
    );
    assert_eq!(failure(&context, "SELECT emb + '[1,2]' FROM t").await, "different vector dimensions 3 and 2");
    assert_eq!(
        failure(&context, "SELECT vector_mul('[1e30]', '[1e30]')").await,
        "inf is out of range for a vector element (element 1)"
    );
    assert_eq!(rows(&context, "SELECT id FROM t WHERE emb = '[4,5,6]'").await, ["2"]);
    let bound = context.sql("SELECT id FROM t WHERE emb = $1").await.unwrap();
    let bound = bound.with_param_values(vec![ScalarValue::from("[4,5,6]")]).unwrap();
    assert_eq!(bound.count().await.unwrap(), 1);
    assert_eq!(rows(&context, "SELECT 1 + 2 * id FROM t WHERE id = 2").await, ["5"]);
}

#[tokio::test]
async fn markers_return_their_distance() {
    let context = session();
    assert_eq!(value(&context, "exact(l1_distance('[0]', '[2]'))").await, "2.0");
    assert_eq!(value(&context, "approx(l1_distance('[0]', '[2]'), recall => 0.9)").await, "2.0");
    assert_eq!(value(&context, "approx(1.5, 1)").await, "1.5");
    assert_eq!(
        rows(&context, "SELECT id FROM t ORDER BY approx(l2_distance(emb, '[4,5,6]'), recall => 0.99) LIMIT 1").await,
        ["2"]
    );
    for recall in ["0", "1.5", "-1", "'x'", "NULL"] {
        let message = failure(&context, &format!("SELECT approx(1.5, recall => {recall})")).await;
        assert!(message.starts_with("recall must be above 0 and at most 1, not "), "{message}");
    }
    assert_eq!(failure(&context, "SELECT exact('x')").await, "exact(text) does not exist; it takes a distance");
}

#[tokio::test]
async fn session_information() {
    let context = session();
    assert!(value(&context, "version()").await.starts_with("Volley 0."));
    assert_eq!(value(&context, "current_schema()").await, "public");
    assert_eq!(value(&context, "current_database()").await, "datafusion");
}

#[test]
fn metrics_and_functions_name_each_other() {
    for metric in Metric::ALL {
        assert_eq!(metric_of(function_of(metric)), Some(metric));
    }
    assert_eq!(metric_of("inner_product"), None);
    assert_eq!(metric_of("sqrt"), None);
}

/// Calls a distance function as the engine does.
fn call(name: &str, args: Vec<ColumnarValue>, number_rows: usize) -> Float64Array {
    let function = distance::all().find(|function| function.name() == name).unwrap();
    let arg_fields = args.iter().map(|arg| Arc::new(Field::new("a", arg.data_type(), true))).collect();
    let result = function
        .invoke_with_args(ScalarFunctionArgs {
            args,
            arg_fields,
            number_rows,
            return_field: Arc::new(Field::new("r", DataType::Float64, true)),
            config_options: Arc::new(ConfigOptions::default()),
        })
        .unwrap();
    result.into_array(number_rows).unwrap().as_primitive::<Float64Type>().clone()
}

fn column(rows: &[Option<Vec<f32>>], dimension: usize) -> FixedSizeListArray {
    let scalars = rows.iter().map(|row| match row {
        Some(vector) => vector_to_scalar(vector.clone()).unwrap(),
        None => ScalarValue::try_from(&vector_type(dimension).unwrap()).unwrap(),
    });
    ScalarValue::iter_to_array(scalars).unwrap().as_fixed_size_list().clone()
}

/// Rows of one dimension, NULLs and zero vectors among them.
fn rows_strategy() -> impl Strategy<Value = (usize, Vec<Option<Vec<f32>>>)> {
    (1usize..40).prop_flat_map(|dimension| {
        let element = prop_oneof![4 => -10.0f32..10.0, 1 => Just(0.0f32)];
        let vector = prop_oneof![
            6 => prop::collection::vec(element, dimension).prop_map(Some),
            1 => Just(Some(vec![0.0; dimension])),
            1 => Just(None),
        ];
        (Just(dimension), prop::collection::vec(vector, 2..24))
    })
}

proptest! {
    /// A distance over arrays is `volley_index::distance` of each pair of rows, whatever form the arguments have.
    #[test]
    fn arrays_agree_with_single_distances((dimension, rows) in rows_strategy(), offset in 0usize..2) {
        let array = column(&rows, dimension).slice(offset, rows.len() - offset);
        let rows = &rows[offset..];
        let query = rows.iter().flatten().next().cloned().unwrap_or(vec![1.0; dimension]);
        let reversed = column(&rows.iter().rev().cloned().collect::<Vec<_>>(), dimension);
        for metric in Metric::ALL {
            let one = |a: &Option<Vec<f32>>, b: &Option<Vec<f32>>| -> Option<u64> {
                volley_index::distance(metric, a.as_ref()?, b.as_ref()?).map(|d| f64::from(d).to_bits())
            };
            let bits = |array: Float64Array| array.iter().map(|d| d.map(f64::to_bits)).collect::<Vec<_>>();
            let name = function_of(metric);
            let constant = ColumnarValue::Scalar(vector_to_scalar(query.clone()).unwrap());
            let column = ColumnarValue::Array(Arc::new(array.clone()));

            let expected: Vec<_> = rows.iter().map(|row| one(row, &Some(query.clone()))).collect();
            prop_assert_eq!(bits(call(name, vec![column.clone(), constant.clone()], rows.len())), expected.clone());
            prop_assert_eq!(bits(call(name, vec![constant, column.clone()], rows.len())), expected);

            let pairs: Vec<_> = rows.iter().zip(rows.iter().rev()).map(|(a, b)| one(a, b)).collect();
            let reversed = ColumnarValue::Array(Arc::new(reversed.clone()));
            prop_assert_eq!(bits(call(name, vec![column, reversed], rows.len())), pairs);
        }
    }
}
