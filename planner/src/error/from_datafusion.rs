//! DataFusion's errors as ours: the root cause, its kind, one sentence.

use std::error::Error as StdError;
use std::sync::Arc;

use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError};
use datafusion::parquet::errors::ParquetError;
use volley_storage::ErrorKind;

use super::rules::{plan_error, run_error, sentence};
use super::{Error, ObjectKind};

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        Error::from_datafusion(error)
    }
}

impl From<Error> for DataFusionError {
    /// Our errors travel through DataFusion whole, and [`Error::from_datafusion`] takes them out again.
    fn from(error: Error) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

impl Error {
    /// What a DataFusion error means: the root cause, with its kind and one clear sentence.
    ///
    /// Errors of Volley's crates that went through DataFusion as `External` come out as they went in.
    pub fn from_datafusion(error: DataFusionError) -> Self {
        match error {
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => Self::from_datafusion(*inner),
            DataFusionError::Collection(errors) => match errors.into_iter().next() {
                Some(first) => Self::from_datafusion(first),
                None => Error::internal("an empty list of errors"),
            },
            DataFusionError::Shared(shared) => match Arc::try_unwrap(shared) {
                Ok(inner) => Self::from_datafusion(inner),
                Err(shared) => describe(&shared),
            },
            DataFusionError::External(inner) => from_box(inner),
            DataFusionError::ArrowError(inner, backtrace) => match *inner {
                ArrowError::ExternalError(inner) => from_box(inner),
                other => describe(&DataFusionError::ArrowError(Box::new(other), backtrace)),
            },
            DataFusionError::ParquetError(inner) => match *inner {
                ParquetError::External(inner) => from_box(inner),
                other => describe(&DataFusionError::ParquetError(Box::new(other))),
            },
            other => describe(&other),
        }
    }
}

/// Takes an error of ours out of its box, if it is one.
fn from_box(error: Box<dyn StdError + Send + Sync>) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(error) => return *error,
        Err(error) => error,
    };
    let error = match error.downcast::<volley_executor::Error>() {
        Ok(error) => return Error::Executor(*error),
        Err(error) => error,
    };
    let error = match error.downcast::<volley_storage::Error>() {
        Ok(error) => return Error::Storage(*error),
        Err(error) => error,
    };
    match error.downcast::<DataFusionError>() {
        Ok(error) => Error::from_datafusion(*error),
        Err(error) => describe_any(error.as_ref()),
    }
}

/// What an error means that can only be looked at, because others share it.
fn describe(error: &DataFusionError) -> Error {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => describe(inner),
        DataFusionError::Shared(inner) => describe(inner),
        DataFusionError::Collection(errors) => {
            errors.first().map_or_else(|| Error::internal("an empty list of errors"), describe)
        }
        DataFusionError::External(inner) => describe_any(inner.as_ref()),
        DataFusionError::ArrowError(inner, _) => describe_arrow(inner),
        DataFusionError::ParquetError(inner) => describe_parquet(inner),
        DataFusionError::ObjectStore(inner) => describe_object_store(inner),
        DataFusionError::IoError(inner) => describe_io(inner),
        DataFusionError::SQL(inner, _) => Error::from((**inner).clone()),
        DataFusionError::SchemaError(inner, _) => describe_schema(inner),
        // The text is the expression's Debug form.
        DataFusionError::NotImplemented(text) if text.contains("InSubquery(") || text.contains("Exists(") => {
            Error::unsupported("a subquery behind IN, EXISTS, ANY or ALL is supported in WHERE and HAVING only")
        }
        DataFusionError::NotImplemented(text) if text.contains("OuterReferenceColumn(") => {
            Error::unsupported("this use of an outer query's column in a subquery is not supported; write it as a join")
        }
        DataFusionError::NotImplemented(text) => Error::unsupported(format!("not supported: {}", sentence(text))),
        DataFusionError::Plan(text) => plan_error(text),
        DataFusionError::Configuration(text) => Error::invalid(ErrorKind::InvalidValue, sentence(text)),
        DataFusionError::Execution(text) => run_error(text, ErrorKind::InvalidValue),
        DataFusionError::ResourcesExhausted(text) => describe_exhausted(text),
        DataFusionError::ExecutionJoin(inner) if inner.is_cancelled() => {
            Error::invalid(ErrorKind::Cancelled, "the query was cancelled")
        }
        DataFusionError::ExecutionJoin(inner) => Error::internal(format!("a task failed: {inner}")),
        // Some mistakes of users are reported as internal, so known texts come first.
        DataFusionError::Internal(text) => match run_error(text, ErrorKind::Internal) {
            Error::Invalid { kind: ErrorKind::Internal, sentence } => Error::internal(sentence),
            known => known,
        },
        DataFusionError::Substrait(text) | DataFusionError::Ffi(text) => Error::internal(sentence(text)),
    }
}

/// The same for any error: whatever type it has, its sources are looked through too.
fn describe_any(error: &(dyn StdError + 'static)) -> Error {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(ours) = error.downcast_ref::<Error>() {
            return Error::invalid(ours.kind(), ours.to_string());
        } else if let Some(executor) = error.downcast_ref::<volley_executor::Error>() {
            return Error::invalid(executor.kind(), executor.to_string());
        } else if let Some(storage) = error.downcast_ref::<volley_storage::Error>() {
            return Error::invalid(storage.kind(), storage.to_string());
        } else if let Some(datafusion) = error.downcast_ref::<DataFusionError>() {
            return describe(datafusion);
        } else if let Some(datafusion) = error.downcast_ref::<Arc<DataFusionError>>() {
            return describe(datafusion);
        } else if let Some(arrow) = error.downcast_ref::<ArrowError>() {
            return describe_arrow(arrow);
        } else if let Some(parquet) = error.downcast_ref::<ParquetError>() {
            return describe_parquet(parquet);
        } else if let Some(store) = error.downcast_ref::<object_store::Error>() {
            return describe_object_store(store);
        } else if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return describe_io(io);
        }
        next = error.source();
    }
    run_error(&error.to_string(), ErrorKind::Internal)
}

fn describe_arrow(error: &ArrowError) -> Error {
    match error {
        ArrowError::ExternalError(inner) => describe_any(inner.as_ref()),
        ArrowError::DivideByZero => Error::invalid(ErrorKind::DivisionByZero, "division by zero"),
        ArrowError::IoError(_, inner) => describe_io(inner),
        ArrowError::ArithmeticOverflow(text) => {
            Error::invalid(ErrorKind::OutOfRange, format!("out of range: {}", sentence(text)))
        }
        ArrowError::CsvError(text) => bad_file("CSV", text),
        // A bare brace is the reader's word for an object.
        ArrowError::JsonError(text) => bad_file("JSON", &text.replace("expected { got", "expected an object, not")),
        ArrowError::ParquetError(text) => bad_file("Parquet", text),
        ArrowError::IpcError(text) => bad_file("Arrow", text),
        ArrowError::MemoryError(text) => describe_exhausted(text),
        ArrowError::NotYetImplemented(text) => Error::unsupported(format!("not supported: {}", sentence(text))),
        ArrowError::OffsetOverflowError(_) => Error::invalid(
            ErrorKind::LimitExceeded,
            "a column of one batch would hold more than 2 GiB of text; lower volley.batch_size",
        ),
        ArrowError::CastError(text) => run_error(text, ErrorKind::InvalidText),
        ArrowError::ParseError(text) => run_error(text, ErrorKind::InvalidText),
        ArrowError::InvalidArgumentError(text) | ArrowError::ComputeError(text) => {
            run_error(text, ErrorKind::InvalidValue)
        }
        other => run_error(&other.to_string(), ErrorKind::Internal),
    }
}

fn bad_file(format: &str, text: &str) -> Error {
    Error::invalid(ErrorKind::BadCopyFile, format!("a {format} file cannot be read: {}", sentence(text)))
}

fn describe_parquet(error: &ParquetError) -> Error {
    match error {
        ParquetError::External(inner) => describe_any(inner.as_ref()),
        other => bad_file("Parquet", &other.to_string()),
    }
}

fn describe_object_store(error: &object_store::Error) -> Error {
    match error {
        object_store::Error::NotFound { path, .. } => {
            Error::invalid(ErrorKind::UndefinedFile, format!("the file {path} does not exist"))
        }
        // Our own store says why.
        object_store::Error::PermissionDenied { source, .. } if source.is::<Error>() => describe_any(source.as_ref()),
        object_store::Error::PermissionDenied { path, .. } | object_store::Error::Unauthenticated { path, .. } => {
            Error::invalid(ErrorKind::PermissionDenied, format!("permission denied for {path}"))
        }
        other => {
            let mut source = other.source();
            while let Some(inner) = source {
                if let Some(io) = inner.downcast_ref::<std::io::Error>() {
                    return describe_io(io);
                }
                source = inner.source();
            }
            Error::invalid(ErrorKind::Io, sentence(&other.to_string()))
        }
    }
}

fn describe_io(error: &std::io::Error) -> Error {
    // Arrow and Parquet wrap errors of any type in io::Error.
    if let Some(inner) = error.get_ref() {
        return describe_any(inner);
    }
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::UndefinedFile,
        std::io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::DiskFull,
        std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof => ErrorKind::BadCopyFile,
        std::io::ErrorKind::OutOfMemory => ErrorKind::OutOfMemory,
        _ => ErrorKind::Io,
    };
    Error::invalid(kind, sentence(&error.to_string()))
}

fn describe_exhausted(text: &str) -> Error {
    if text.contains("disk space") {
        return Error::invalid(ErrorKind::DiskFull, format!("no space left for temporary files: {}", sentence(text)));
    }
    Error::invalid(
        ErrorKind::OutOfMemory,
        format!(
            "the statement needs more memory than volley.memory_limit leaves; raise the limit or ask for less at once ({})",
            sentence(text)
        ),
    )
}

fn describe_schema(error: &SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let candidates = valid_fields.iter().flat_map(|column| {
                // A name with its table is suggested for a name with a table only.
                [Some(column.name.clone()), field.relation.as_ref().map(|_| column.flat_name())]
            });
            Error::undefined(ObjectKind::Column, &field.flat_name(), candidates.flatten())
        }
        SchemaError::AmbiguousReference { field } => Error::invalid(
            ErrorKind::Ambiguous,
            format!("column \"{}\" is ambiguous; write its table before it", field.flat_name()),
        ),
        SchemaError::DuplicateQualifiedField { qualifier, name } => Error::invalid(
            ErrorKind::DuplicateColumn,
            format!("column \"{qualifier}.{name}\" appears twice; give one an alias"),
        ),
        SchemaError::DuplicateUnqualifiedField { name } => {
            Error::invalid(ErrorKind::DuplicateColumn, format!("column \"{name}\" appears twice; give one an alias"))
        }
    }
}
