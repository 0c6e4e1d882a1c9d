//! Prepared statements and the values that clients bind to them.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use arrow_flight::sql::DoPutPreparedStatementResult;
use bytes::Bytes;
use datafusion::common::ScalarValue;
use parking_lot::Mutex;
use tonic::Status;
use volley_scheduler::{Parameters, QueryRequest};
use volley_storage::ErrorKind;

use super::caller::Caller;
use super::messages::CreatePreparedStatementResult;
use super::query::{Asked, fail, schema_bytes, within};
use super::wire::{Wire, plain};
use super::{Door, status};
use crate::metrics::QueryKind;
use crate::sessions::{ClientSession, PREPARED_MAX, PreparedStatement};

/// Rows of values that may be bound at once: an `executemany`.
const BOUND_ROWS_MAX: usize = 500_000;
/// Values in them.
const BOUND_VALUES_MAX: usize = 2_000_000;
/// Bytes in them, as Arrow holds them.
const BOUND_BYTES_MAX: usize = 256 << 20;

impl Door {
    /// Plans a statement as far as it takes to announce its columns and its parameters, and keeps it.
    pub(crate) async fn prepare(&self, caller: &Caller, sql: &str) -> Result<CreatePreparedStatementResult, Status> {
        let text: Arc<str> = sql.into();
        let (work, _admitted) = self.begin(QueryKind::Metadata, &text, &caller.session).await?;
        let request = QueryRequest { query_id: work.id, ..QueryRequest::new(sql, &caller.session.engine) };
        let described = within(caller.deadline, self.engine.describe(request)).await.and_then(|described| described);
        let described = match described {
            Ok(described) => described,
            Err(error) => return Err(fail(work, &error)),
        };
        let returns_rows = described.schema.is_some();
        // Without columns it is a change: clients go by that.
        let columns = described.schema.unwrap_or_else(|| Arc::new(Schema::empty()));
        let dataset_schema = schema_bytes(Wire::of(&columns).schema())?;
        let fields = described.parameters.iter().map(|field| announced(field)).collect::<Vec<_>>();
        let parameter_schema = schema_bytes(&Schema::new(fields))?;
        let statement = PreparedStatement {
            sql: text,
            parameters: described.parameters,
            bound: Mutex::new(Parameters::None),
            session: Arc::downgrade(&caller.session),
        };
        let Some(handle) = self.sessions.prepare(statement) else {
            let sentence = format!("a session has at most {PREPARED_MAX} prepared statements; close some");
            return Err(Status::resource_exhausted(sentence));
        };
        work.done(0);
        Ok(CreatePreparedStatementResult {
            prepared_statement_handle: Bytes::copy_from_slice(&handle.to_bytes()),
            dataset_schema,
            parameter_schema,
            is_update: Some(!returns_rows),
        })
    }

    /// The statement of a handle, and the session it runs in.
    pub(crate) fn prepared(
        &self,
        caller: &Caller,
        handle: &[u8],
    ) -> Result<(Arc<PreparedStatement>, Arc<ClientSession>), Status> {
        self.sessions.prepared(handle, caller.user()).ok_or_else(|| {
            status::of_kind(
                ErrorKind::UndefinedObject,
                "there is no prepared statement of this handle; prepare it again",
            )
        })
    }

    /// A prepared statement with the values that were bound to it, ready to run.
    pub(crate) fn asked(&self, caller: &Caller, handle: &[u8]) -> Result<Asked, Status> {
        let (statement, session) = self.prepared(caller, handle)?;
        let parameters = statement.bound.lock().clone();
        check_count(&statement, &parameters)?;
        Ok(Asked { sql: Arc::clone(&statement.sql), parameters, session })
    }

    /// The same with values that come with the call and are not bound for later ones.
    pub(crate) fn asked_with(&self, caller: &Caller, handle: &[u8], rows: &ParameterRows) -> Result<Asked, Status> {
        let (statement, session) = self.prepared(caller, handle)?;
        let parameters = parameters_of(rows)?;
        Ok(Asked { sql: Arc::clone(&statement.sql), parameters, session })
    }

    /// Binds values to a prepared statement, in place of those before.
    pub(crate) fn bind(
        &self,
        caller: &Caller,
        handle: &Bytes,
        rows: &ParameterRows,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let (statement, _) = self.prepared(caller, handle)?;
        let parameters = parameters_of(rows)?;
        *statement.bound.lock() = parameters;
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(handle.clone()) })
    }
}

/// A parameter as it is announced. The element of a vector is NOT NULL, so that drivers which build arrays from the type check
/// their length instead of filling them up.
fn announced(field: &Field) -> Field {
    Field::new(field.name(), plain(field.data_type()), true)
}

fn check_count(statement: &PreparedStatement, parameters: &Parameters) -> Result<(), Status> {
    match parameters {
        Parameters::Rows(rows) if rows.is_empty() => Ok(()),
        parameters => check_columns(statement, parameters.values().len()),
    }
}

/// Refuses another number of values than the statement has parameters.
pub(crate) fn check_columns(statement: &PreparedStatement, given: usize) -> Result<(), Status> {
    let expected = statement.parameters.len();
    if expected == given {
        return Ok(());
    }
    let sentence = format!("the statement takes {expected} parameters but {given} were given");
    Err(status::of_kind(ErrorKind::InvalidStatement, sentence))
}

/// Rows of values that a client sent, in batches whose columns are the parameters in order.
#[derive(Debug, Default)]
pub(crate) struct ParameterRows {
    columns: usize,
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

impl ParameterRows {
    /// No rows yet, of so many values each.
    pub(crate) fn new(columns: usize) -> Self {
        Self { columns, ..Self::default() }
    }

    /// Whether the client said that there are no parameters: drivers send no rows of no columns for that.
    fn is_none(&self) -> bool {
        self.columns == 0 && self.rows == 0
    }

    /// Adds rows.
    ///
    /// # Errors
    /// More than a statement may have: they are collected before it runs, and each value takes memory whatever it took on its
    /// way.
    pub(crate) fn push(&mut self, batch: RecordBatch) -> Result<(), Status> {
        self.rows = self.rows.saturating_add(batch.num_rows());
        self.bytes = self.bytes.saturating_add(batch.get_array_memory_size());
        let values = self.rows.saturating_mul(batch.num_columns().max(1));
        if self.rows > BOUND_ROWS_MAX || values > BOUND_VALUES_MAX || self.bytes > BOUND_BYTES_MAX {
            let sentence = format!(
                "a statement takes at most {BOUND_ROWS_MAX} rows, {BOUND_VALUES_MAX} values and {} MB of parameters at once; use \
                 bulk ingest",
                BOUND_BYTES_MAX >> 20
            );
            return Err(status::of_kind(ErrorKind::LimitExceeded, sentence));
        }
        self.batches.push(batch);
        Ok(())
    }
}

/// The values of all rows.
///
/// # Errors
/// Columns of types that values cannot be taken from.
fn parameters_of(given: &ParameterRows) -> Result<Parameters, Status> {
    if given.is_none() {
        return Ok(Parameters::None);
    }
    let mut rows = Vec::with_capacity(given.rows);
    for batch in &given.batches {
        let columns = batch.columns().iter().map(|column| {
            // Views and dictionaries are how the client holds its values, not what they are.
            arrow::compute::cast(column, &plain(column.data_type()))
        });
        let columns = columns.collect::<Result<Vec<_>, ArrowError>>().map_err(|error| unusable(&error.to_string()))?;
        for row in 0..batch.num_rows() {
            let value = |column: &Arc<dyn Array>| ScalarValue::try_from_array(column, row);
            let values = columns.iter().map(value).collect::<Result<Vec<_>, _>>();
            rows.push(values.map_err(|error| unusable(&error.to_string()))?);
        }
    }
    Ok(match rows.len() {
        1 => match rows.swap_remove(0) {
            values if values.is_empty() => Parameters::None,
            values => Parameters::Positional(values),
        },
        _ => Parameters::Rows(rows.into()),
    })
}

fn unusable(detail: &str) -> Status {
    status::of_kind(ErrorKind::DatatypeMismatch, format!("the parameters have a type that cannot be used: {detail}"))
}
