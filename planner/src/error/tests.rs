use std::sync::Arc;

use datafusion::arrow::error::ArrowError;
use datafusion::common::{Column, DataFusionError, SchemaError};
use datafusion::parquet::errors::ParquetError;
use volley_storage::ErrorKind;

use super::{Error, ObjectKind, suggest};

#[test]
fn suggestions() {
    let names = ["docs", "documents", "queries", "Users"];
    assert_eq!(suggest("dosc", names).as_deref(), Some("docs"));
    assert_eq!(suggest("querys", names).as_deref(), Some("queries"));
    assert_eq!(suggest("users", names).as_deref(), Some("Users"));
    assert_eq!(suggest("document", names).as_deref(), Some("documents"));
    assert_eq!(suggest("orders", names), None);
    assert_eq!(suggest("", names), None);
    assert_eq!(suggest("ab", ["ba", "aa"]).as_deref(), Some("aa"));
    assert_eq!(suggest::<&str>("a", []), None);
}

#[test]
fn undefined_names() {
    let error = Error::undefined(ObjectKind::Table, "dosc", ["docs"]);
    assert_eq!(error.to_string(), "table \"dosc\" does not exist; did you mean \"docs\"?");
    assert_eq!(error.kind(), ErrorKind::UndefinedTable);
    let error = Error::undefined(ObjectKind::Column, "x", ["long_name"]);
    assert_eq!(error.to_string(), "column \"x\" does not exist");
}

fn plan(text: &str) -> DataFusionError {
    DataFusionError::Plan(text.to_string())
}

fn arrow(error: ArrowError) -> DataFusionError {
    DataFusionError::ArrowError(Box::new(error), None)
}

#[test]
fn datafusion_errors_have_kinds_and_one_sentence() {
    let cast = |text: &str| arrow(ArrowError::CastError(text.to_string()));
    let exec = |text: &str| DataFusionError::Execution(text.to_string());
    for (error, kind, sentence) in [
        (plan("table 'volley.public.dosc' not found"), ErrorKind::UndefinedTable, "table \"dosc\" does not exist"),
        (
            plan("Invalid function 'l2_distnce'.\nDid you mean 'l2_distance'?"),
            ErrorKind::UndefinedFunction,
            "function \"l2_distnce\" does not exist; did you mean \"l2_distance\"?",
        ),
        (
            plan("Invalid function 'zzz'.\nDid you mean 'asin'?"),
            ErrorKind::UndefinedFunction,
            "function \"zzz\" does not exist",
        ),
        (
            plan(
                "No function matches the given name and argument types 'round(Utf8)'. You might need to add explicit type casts.\n\tCandidate functions:\n\tround(Float64)",
            ),
            ErrorKind::UndefinedFunction,
            "no function round(Utf8) exists; check the arguments and cast them if needed",
        ),
        (
            plan("Cannot coerce arithmetic expression Utf8 + Boolean to valid types"),
            ErrorKind::DatatypeMismatch,
            "Cannot coerce arithmetic expression Utf8 + Boolean to valid types",
        ),
        (
            cast("Cannot cast string 'x' to value of Int32 type"),
            ErrorKind::InvalidText,
            "invalid input for type integer: 'x'",
        ),
        (
            cast("Cannot cast string 'it's' to value of Date32 type"),
            ErrorKind::InvalidDatetime,
            "invalid input for type date: 'it's'",
        ),
        (
            cast("Cannot cast string '4.4.5' to value of Decimal128(38, 10) type"),
            ErrorKind::InvalidText,
            "invalid input for type numeric: '4.4.5'",
        ),
        (
            cast("Can't cast value 300 to type Int8"),
            ErrorKind::OutOfRange,
            "the value 300 is out of range for type tinyint",
        ),
        (arrow(ArrowError::DivideByZero), ErrorKind::DivisionByZero, "division by zero"),
        (
            arrow(ArrowError::ArithmeticOverflow("Overflow happened on: 9223372036854775807 + 1".to_string())),
            ErrorKind::OutOfRange,
            "out of range: Overflow happened on: 9223372036854775807 + 1",
        ),
        (
            arrow(ArrowError::ParseError("Error parsing timestamp from 'x': error parsing date".to_string())),
            ErrorKind::InvalidDatetime,
            "Error parsing timestamp from 'x': error parsing date",
        ),
        (
            arrow(ArrowError::CsvError("incorrect number of fields for line 3, expected 2 got 3".to_string())),
            ErrorKind::BadCopyFile,
            "a CSV file cannot be read: incorrect number of fields for line 3, expected 2 got 3",
        ),
        (exec("Divide by zero"), ErrorKind::DivisionByZero, "division by zero"),
        (
            DataFusionError::NotImplemented("Physical plan does not support logical expression X".to_string()),
            ErrorKind::Unsupported,
            "not supported: Physical plan does not support logical expression X",
        ),
    ] {
        let text = error.to_string();
        let error = Error::from_datafusion(error.context("somewhere"));
        assert_eq!(error.to_string(), sentence, "{text}");
        assert_eq!(error.kind(), kind, "{text}");
    }
}

#[test]
fn memory_and_files() {
    let error = Error::from_datafusion(DataFusionError::ResourcesExhausted(
        "Failed to allocate additional 10.0 MB for ExternalSorter[0]".to_string(),
    ));
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    assert!(error.to_string().contains("volley.memory_limit"), "{error}");

    let missing = object_store::Error::NotFound { path: "a/b.parquet".to_string(), source: "gone".into() };
    let error =
        Error::from_datafusion(DataFusionError::ParquetError(Box::new(ParquetError::External(Box::new(missing)))));
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::UndefinedFile, "the file a/b.parquet does not exist")
    );

    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    let generic = object_store::Error::Generic { store: "LocalFileSystem", source: Box::new(full) };
    let error = Error::from_datafusion(DataFusionError::ObjectStore(Box::new(generic)));
    assert_eq!(error.kind(), ErrorKind::DiskFull);

    let error = Error::from_datafusion(DataFusionError::ParquetError(Box::new(ParquetError::General(
        "Invalid Parquet file. Corrupt footer".to_string(),
    ))));
    assert_eq!(error.kind(), ErrorKind::BadCopyFile);
}

#[test]
fn columns_get_the_nearest_name() {
    let field_not_found = |field: Column| {
        let valid_fields = vec![Column::new(Some("docs"), "emb"), Column::new(Some("docs"), "body")];
        let error = SchemaError::FieldNotFound { field: Box::new(field), valid_fields };
        Error::from_datafusion(DataFusionError::SchemaError(Box::new(error), Box::new(None)))
    };
    let error = field_not_found(Column::from_name("embd"));
    assert_eq!(error.to_string(), "column \"embd\" does not exist; did you mean \"emb\"?");
    assert_eq!(error.kind(), ErrorKind::UndefinedColumn);
    let error = field_not_found(Column::new(Some("docs"), "bdy"));
    assert_eq!(error.to_string(), "column \"docs.bdy\" does not exist; did you mean \"docs.body\"?");
}

#[test]
fn our_errors_come_out_as_they_went_in() {
    let ours = || Error::undefined(ObjectKind::Table, "dosc", ["docs"]);
    let wrapped = DataFusionError::from(ours()).context("planning");
    assert!(matches!(Error::from_datafusion(wrapped), Error::Undefined { what: ObjectKind::Table, .. }));
    let wrapped = arrow(ArrowError::ExternalError(Box::new(DataFusionError::from(ours()))));
    assert!(matches!(Error::from_datafusion(wrapped), Error::Undefined { .. }));
    let executor = DataFusionError::from(volley_executor::Error::NoDimensions);
    assert!(matches!(Error::from_datafusion(executor), Error::Executor(_)));
    let shared = Arc::new(DataFusionError::from(ours()));
    let error = Error::from_datafusion(DataFusionError::Shared(Arc::clone(&shared)));
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::UndefinedTable, ours().to_string()));
    drop(shared);
}

#[test]
fn nobody_is_asked_to_report_bugs_elsewhere() {
    let error = Error::from_datafusion(DataFusionError::Internal("something odd".to_string()));
    assert_eq!(error.to_string(), "internal error in the planner: something odd");
    assert_eq!(error.kind(), ErrorKind::Internal);
    let text = format!("Error during planning: broken{}at frame 1", DataFusionError::BACK_TRACE_SEP);
    assert_eq!(Error::from_datafusion(plan(&text)).to_string(), "broken");
    let long = Error::from_datafusion(plan(&"x".repeat(1_000_000)));
    assert!(long.to_string().len() < 1_000);
}
