//! Actions: prepare and close statements, cancel, session options.

use std::collections::HashMap;

use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, Any, ProstMessageExt,
};
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightInfo,
    RenewFlightEndpointRequest,
};
use bytes::Bytes;
use prost::Message;
use tonic::Status;
use ulid::Ulid;
use volley_scheduler::{QueryRequest, Session};

use super::caller::Caller;
use super::messages::{
    CLOSE_SESSION, CloseSessionResult, CloseSessionStatus, GET_SESSION_OPTIONS, GetSessionOptionsResult, OptionError,
    OptionErrorValue, OptionValue, SET_SESSION_OPTIONS, SessionOptionValue, SetSessionOptionsRequest,
    SetSessionOptionsResult,
};
use super::put::{refuse_transaction, short_name, unsupported};
use super::{Door, status};
use crate::sealed::{Ticket, Unsealing};

const CREATE_PREPARED: &str = "CreatePreparedStatement";
const CLOSE_PREPARED: &str = "ClosePreparedStatement";
const CANCEL_QUERY: &str = "CancelQuery";
const CANCEL_FLIGHT_INFO: &str = "CancelFlightInfo";
const RENEW_ENDPOINT: &str = "RenewFlightEndpoint";

/// The catalog, under the name that drivers give it as a session option.
const CATALOG_OPTION: &str = "catalog";
/// The schema, likewise.
const SCHEMA_OPTION: &str = "schema";

/// The actions there are, with what they do.
const ACTIONS: &[(&str, &str)] = &[
    (CREATE_PREPARED, "Prepares a statement; body: ActionCreatePreparedStatementRequest"),
    (CLOSE_PREPARED, "Closes a prepared statement; body: ActionClosePreparedStatementRequest"),
    (CANCEL_FLIGHT_INFO, "Cancels a query; body: CancelFlightInfoRequest"),
    (CANCEL_QUERY, "Cancels a query, as older clients ask for it; body: ActionCancelQueryRequest"),
    (SET_SESSION_OPTIONS, "Sets options of the session; body: SetSessionOptionsRequest"),
    (GET_SESSION_OPTIONS, "Reads the options of the session; body: GetSessionOptionsRequest"),
    (CLOSE_SESSION, "Ends the session; body: CloseSessionRequest"),
];

/// The actions there are.
pub(crate) fn action_types() -> Vec<ActionType> {
    let action = |(name, what): &(&str, &str)| ActionType { r#type: (*name).into(), description: (*what).into() };
    ACTIONS.iter().map(action).collect()
}

impl Door {
    /// Does an action; the bodies of its results.
    pub(crate) async fn act(&self, caller: &Caller, action: Action) -> Result<Vec<Bytes>, Status> {
        match action.r#type.as_str() {
            CREATE_PREPARED => {
                let request: ActionCreatePreparedStatementRequest = unpacked(&action.body)?;
                refuse_transaction(request.transaction_id.as_ref())?;
                let prepared = self.prepare(caller, &request.query).await?;
                let type_url = "type.googleapis.com/arrow.flight.protocol.sql.ActionCreatePreparedStatementResult";
                let any = Any { type_url: type_url.to_owned(), value: prepared.encode_to_vec().into() };
                Ok(vec![any.encode_to_vec().into()])
            }
            CLOSE_PREPARED => {
                let request: ActionClosePreparedStatementRequest = unpacked(&action.body)?;
                self.sessions.close_prepared(&request.prepared_statement_handle, caller.user());
                Ok(Vec::new())
            }
            CANCEL_FLIGHT_INFO => {
                let request: CancelFlightInfoRequest = decoded(&action.body)?;
                let status = self.cancel(caller, request.info.as_ref())?;
                let result = CancelFlightInfoResult { status: status as i32 };
                Ok(vec![result.encode_to_vec().into()])
            }
            CANCEL_QUERY => {
                let request: ActionCancelQueryRequest = unpacked(&action.body)?;
                let info: FlightInfo = decoded(&request.info)?;
                let status = self.cancel(caller, Some(&info))?;
                let result = ActionCancelQueryResult { result: status as i32 };
                Ok(vec![result.as_any().encode_to_vec().into()])
            }
            RENEW_ENDPOINT => {
                let _: RenewFlightEndpointRequest = decoded(&action.body)?;
                Err(unsupported("tickets cannot be renewed; run the query again"))
            }
            SET_SESSION_OPTIONS => self.set_options(caller, decoded(&action.body)?).await,
            GET_SESSION_OPTIONS => {
                let options = self.options(&caller.session.engine)?;
                Ok(vec![GetSessionOptionsResult { session_options: options }.encode_to_vec().into()])
            }
            CLOSE_SESSION => {
                self.sessions.close(&caller.session, &caller.connection);
                let result = CloseSessionResult { status: CloseSessionStatus::Closed as i32 };
                Ok(vec![result.encode_to_vec().into()])
            }
            "BeginTransaction" | "EndTransaction" | "BeginSavepoint" | "EndSavepoint" => {
                Err(unsupported("transactions are not supported; every statement commits by itself (autocommit)"))
            }
            "CreatePreparedSubstraitPlan" => Err(unsupported("Substrait plans are not supported; send SQL")),
            other => {
                let known = ACTIONS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
                let sentence = format!("there is no action {}; there are {known}", short_name(other));
                Err(unsupported(&sentence))
            }
        }
    }

    /// Cancels what an info stands for. What is done, or was cancelled before, is fine.
    fn cancel(&self, caller: &Caller, info: Option<&FlightInfo>) -> Result<CancelStatus, Status> {
        let info = info.ok_or_else(|| status::malformed("a cancellation without a query"))?;
        if info.endpoint.is_empty() {
            return Ok(match self.stop_polled(info, caller.user()) {
                true => CancelStatus::Cancelled,
                false => CancelStatus::NotCancellable,
            });
        }
        for ticket in info.endpoint.iter().filter_map(|endpoint| endpoint.ticket.as_ref()) {
            let ticket: Ticket = match self.secret.open(&ticket.ticket) {
                Ok(ticket) => ticket,
                Err(Unsealing::Expired) => continue,
                Err(Unsealing::Forged) => return Err(status::of_ticket(Unsealing::Forged)),
            };
            if ticket.user != caller.user() {
                return Err(Status::permission_denied("the query belongs to another user"));
            }
            if let Ok(id) = ticket.result.try_into() {
                self.results.cancel(Ulid::from_bytes(id));
            }
        }
        Ok(CancelStatus::Cancelled)
    }

    /// Sets each option, and says of each that it did not set why.
    async fn set_options(&self, caller: &Caller, request: SetSessionOptionsRequest) -> Result<Vec<Bytes>, Status> {
        let mut errors = HashMap::new();
        for (name, value) in request.session_options {
            let error = match name.as_str() {
                CATALOG_OPTION => match value.value {
                    None => None,
                    Some(OptionValue::Text(catalog)) if matches!(catalog.as_str(), "" | "volley") => None,
                    Some(_) => Some(OptionErrorValue::InvalidValue),
                },
                SCHEMA_OPTION => self.set_option(caller, "search_path", value.value).await,
                name => self.set_option(caller, name, value.value).await,
            };
            if let Some(error) = error {
                errors.insert(name, OptionError { value: error as i32 });
            }
        }
        Ok(vec![SetSessionOptionsResult { errors }.encode_to_vec().into()])
    }

    async fn set_option(&self, caller: &Caller, name: &str, value: Option<OptionValue>) -> Option<OptionErrorValue> {
        let session = &caller.session.engine;
        if session.setting(name).is_err() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "._".contains(c)) {
            return Some(OptionErrorValue::InvalidName);
        }
        let sql = match value {
            None => format!("RESET {name}"),
            Some(value) => {
                let text = match value {
                    OptionValue::Text(text) => text,
                    OptionValue::Flag(flag) => flag.to_string(),
                    OptionValue::Integer(number) => number.to_string(),
                    OptionValue::Number(number) => number.to_string(),
                    OptionValue::List(list) => list.values.join(","),
                };
                format!("SET {name} = '{}'", text.replace('\'', "''"))
            }
        };
        let set = self.engine.execute(QueryRequest::new(sql, session)).await;
        set.err().map(|_| OptionErrorValue::InvalidValue)
    }

    /// Every setting, and catalog and schema under the names that drivers know.
    fn options(&self, session: &Session) -> Result<HashMap<String, SessionOptionValue>, Status> {
        let text = |value: String| SessionOptionValue { value: Some(OptionValue::Text(value)) };
        let schema = session.setting("search_path");
        let schema = schema.map_err(|error| status::of_kind(error.kind(), error.to_string()))?;
        let settings = session.settings().into_iter().map(|(name, value)| (name, text(value)));
        let names = [(CATALOG_OPTION.to_owned(), text("volley".to_owned())), (SCHEMA_OPTION.to_owned(), text(schema))];
        Ok(settings.chain(names).collect())
    }
}

/// The message that Flight SQL packs into an `Any`.
fn unpacked<M: ProstMessageExt>(body: &[u8]) -> Result<M, Status> {
    let any: Any = decoded(body)?;
    any.unpack().ok().flatten().ok_or_else(|| status::malformed(&short_name(M::type_url())))
}

fn decoded<M: Message + Default>(body: &[u8]) -> Result<M, Status> {
    M::decode(body).map_err(|_| status::malformed("the body of the action"))
}
