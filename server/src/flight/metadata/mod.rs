//! What tools ask about catalogs, tables, keys, types and the server itself. Each answer has exactly the schema that Flight SQL
//! gives it.

mod info;
mod keys;
mod tables;
mod types;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::GetCatalogsBuilder;
use arrow_flight::sql::{Any, Command, CommandGetTableTypes};
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, Ticket};
use prost::Message;
use tonic::Status;
use volley_storage::ErrorKind;

use super::caller::Caller;
use super::put::{short_name, unsupported};
use super::{Door, status};

/// The one catalog.
const CATALOG: &str = "volley";
/// The sorts of tables there are.
const TABLE: &str = "TABLE";
const VIEW: &str = "VIEW";
const SYSTEM_TABLE: &str = "SYSTEM TABLE";

impl Door {
    /// Where the answer to a question can be fetched. The ticket is the question itself.
    pub(crate) fn metadata_info(&self, command: &Command, descriptor: FlightDescriptor) -> Result<FlightInfo, Status> {
        let schema = self.metadata_schema(command)?;
        let any: Any = command.clone().into_any();
        let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(any.encode_to_vec()));
        let info = FlightInfo::new().try_with_schema(&schema).map_err(|error| status::of_arrow(&error))?;
        Ok(info.with_endpoint(endpoint).with_descriptor(descriptor).with_total_records(-1).with_total_bytes(-1))
    }

    /// The columns of the answer to a question.
    pub(crate) fn metadata_schema(&self, command: &Command) -> Result<SchemaRef, Status> {
        Ok(match command {
            Command::CommandGetCatalogs(_) => GetCatalogsBuilder::new().schema(),
            Command::CommandGetDbSchemas(question) => question.clone().into_builder().schema(),
            Command::CommandGetTables(question) => question.clone().into_builder().schema(),
            Command::CommandGetTableTypes(question) => question.into_builder().schema(),
            Command::CommandGetPrimaryKeys(_) => keys::primary_schema(),
            Command::CommandGetExportedKeys(_)
            | Command::CommandGetImportedKeys(_)
            | Command::CommandGetCrossReference(_) => keys::foreign_schema(),
            Command::CommandGetXdbcTypeInfo(_) => types::type_info()?.schema(),
            Command::CommandGetSqlInfo(_) => info::sql_info()?.schema(),
            other => return Err(unknown(other)),
        })
    }

    /// The answer to a question.
    pub(crate) async fn metadata(
        &self,
        caller: &Caller,
        command: Command,
    ) -> Result<(SchemaRef, Vec<RecordBatch>), Status> {
        let batch = match command {
            Command::CommandGetCatalogs(_) => {
                let mut builder = GetCatalogsBuilder::new();
                builder.append(CATALOG);
                built(builder.build())?
            }
            Command::CommandGetTableTypes(_) => {
                let mut builder = CommandGetTableTypes {}.into_builder();
                [TABLE, VIEW, SYSTEM_TABLE].into_iter().for_each(|name| builder.append(name));
                built(builder.build())?
            }
            Command::CommandGetDbSchemas(question) => self.schemas(caller, question).await?,
            Command::CommandGetTables(question) => self.tables(caller, question).await?,
            Command::CommandGetPrimaryKeys(question) => self.primary_keys(caller, question).await?,
            Command::CommandGetExportedKeys(_)
            | Command::CommandGetImportedKeys(_)
            | Command::CommandGetCrossReference(_) => RecordBatch::new_empty(keys::foreign_schema()),
            Command::CommandGetXdbcTypeInfo(question) => built(question.into_builder(types::type_info()?).build())?,
            Command::CommandGetSqlInfo(question) => built(question.into_builder(info::sql_info()?).build())?,
            other => return Err(unknown(&other)),
        };
        Ok((batch.schema(), vec![batch]))
    }
}

fn unknown(command: &Command) -> Status {
    unsupported(&format!("{} names nothing that can be fetched", short_name(command.type_url())))
}

/// An answer that one of arrow-flight's builders made.
fn built<T>(result: Result<T, FlightError>) -> Result<T, Status> {
    result.map_err(|error| match error {
        // A pattern that is none.
        FlightError::Arrow(error) => {
            status::of_kind(ErrorKind::InvalidValue, format!("the filter is not valid: {error}"))
        }
        error => status::of_kind(ErrorKind::Internal, format!("internal error: {error}")),
    })
}
