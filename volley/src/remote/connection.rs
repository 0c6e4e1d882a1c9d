//! One session on a server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::datatypes::Schema;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{CommandStatementQuery, ProstMessageExt};
use arrow_flight::{Action, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest, Ticket};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::{StreamExt, TryStreamExt, stream};
use prost::Message;
use tokio::sync::OnceCell;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use volley::CancellationToken;

use super::{Address, status, tls};
use crate::backend::{Answer, Request, Rows};
use crate::failure::Failure;

/// How long to try to reach a server.
const CONNECTS_WITHIN: Duration = Duration::from_secs(10);
/// How often a silent connection is asked whether it still stands, and how long it may take to answer.
const ASKED_EVERY: Duration = Duration::from_secs(30);
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);
/// How long to wait for the end of the session; without an answer it ends by itself.
const CLOSES_WITHIN: Duration = Duration::from_secs(1);
/// Flight's action that ends a session.
const CLOSE_SESSION: &str = "CloseSession";
const AUTHORIZATION: &str = "authorization";

/// One session on a server. What tells the server whose call it is (a token, cookies) is kept and sent along.
pub(crate) struct Connection {
    address: Address,
    client: FlightServiceClient<Channel>,
    identity: Mutex<Identity>,
    greeted: OnceCell<()>,
}

#[derive(Default)]
struct Identity {
    token: Option<MetadataValue<Ascii>>,
    cookies: BTreeMap<String, String>,
}

impl Connection {
    /// Connects, and logs in if the address names a user.
    pub(crate) async fn open(address: Address) -> Result<Self, Failure> {
        let channel = endpoint(&address)?.connect().await.map_err(|error| status::unreachable(&error, &address))?;
        let connection = Self::over(channel, address);
        connection.greet().await?;
        Ok(connection)
    }

    /// Another connection to the same server, made when it is first needed: a server may keep one session for all that
    /// comes over one connection.
    pub(crate) fn apart(&self) -> Result<Self, Failure> {
        Ok(Self::over(endpoint(&self.address)?.connect_lazy(), self.address.clone()))
    }

    fn over(channel: Channel, address: Address) -> Self {
        // The server decides how large its messages are.
        let client = FlightServiceClient::new(channel).max_decoding_message_size(usize::MAX);
        Self { address, client, identity: Mutex::default(), greeted: OnceCell::new() }
    }

    /// Logs in unless that has been done.
    async fn greet(&self) -> Result<(), Failure> {
        self.greeted.get_or_try_init(|| self.log_in()).await.map(|_| ())
    }

    async fn log_in(&self) -> Result<(), Failure> {
        let Some(user) = &self.address.user else { return Ok(()) };
        let password = self.address.password.as_deref().unwrap_or("");
        let credentials = BASE64_STANDARD.encode(format!("{user}:{password}"));
        let mut request = tonic::Request::new(stream::iter([HandshakeRequest::default()]));
        // Base64 is ASCII.
        if let Ok(mut value) = MetadataValue::try_from(format!("Basic {credentials}")) {
            value.set_sensitive(true);
            request.metadata_mut().insert(AUTHORIZATION, value);
        }
        let answer = self.client.clone().handshake(request).await.map_err(|status| self.failure(&status))?;
        self.remember(answer.metadata());
        // The answer's body says nothing that its head has not said, but its end may be an error.
        answer.into_inner().try_for_each(|_| std::future::ready(Ok(()))).await.map_err(|status| self.failure(&status))
    }

    /// Runs one statement. It stops when `request.cancel` is cancelled, or when the answer's rows are dropped.
    pub(crate) async fn execute(self: &Arc<Self>, request: Request) -> Result<Answer, Failure> {
        let cancel = request.cancel.clone();
        until(&cancel, self.greet()).await??;
        let info = until(&cancel, self.info(request.sql, request.deadline)).await??;
        let told = Told::read(&info.app_metadata);
        let schema = match info.schema.is_empty() {
            true => Schema::empty(),
            false => info.clone().try_decode_schema().map_err(|error| self.unreadable(&error.into()))?,
        };
        let schema = Arc::new(schema);
        let rows = (!schema.fields().is_empty()).then(|| self.rows(info.endpoint, info.ordered, cancel));
        Ok(Answer { schema, rows, tag: told.tag, notices: told.notices })
    }

    /// Ends the session on the server, which would keep it for a while otherwise.
    pub(crate) async fn close(&self) {
        let action = Action { r#type: CLOSE_SESSION.to_owned(), body: Default::default() };
        let mut request = self.request(action);
        request.set_timeout(CLOSES_WITHIN);
        // A server that has gone has no session to end.
        let _ = self.client.clone().do_action(request).await;
    }

    async fn info(&self, sql: String, deadline: Option<Instant>) -> Result<FlightInfo, Failure> {
        let command = CommandStatementQuery { query: sql, transaction_id: None };
        let mut request = self.request(FlightDescriptor::new_cmd(command.as_any().encode_to_vec()));
        if let Some(deadline) = deadline {
            request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        }
        let answer = self.client.clone().get_flight_info(request).await.map_err(|status| self.failure(&status))?;
        self.remember(answer.metadata());
        Ok(answer.into_inner())
    }

    /// The rows of all endpoints: one after the other if their order means something, else as they come.
    fn rows(self: &Arc<Self>, endpoints: Vec<FlightEndpoint>, ordered: bool, cancel: CancellationToken) -> Rows {
        let tickets = endpoints.into_iter().filter_map(|endpoint| endpoint.ticket);
        let each = tickets.map(|ticket| {
            let fetching = Arc::clone(self).fetch(ticket);
            stream::once(fetching).try_flatten().boxed()
        });
        let rows = match ordered {
            true => stream::iter(each.collect::<Vec<_>>()).flatten().boxed(),
            false => stream::select_all(each).boxed(),
        };
        // Cancelling ends the stream with its reason, wherever it is, and drops what was being fetched.
        let cancellable = stream::unfold(Some(rows), move |rows| {
            let cancel = cancel.clone();
            async move {
                let mut rows = rows?;
                match until(&cancel, rows.next()).await {
                    Ok(Some(row)) => Some((row, Some(rows))),
                    Ok(None) => None,
                    Err(cancelled) => Some((Err(cancelled), None)),
                }
            }
        });
        cancellable.boxed()
    }

    async fn fetch(self: Arc<Self>, ticket: Ticket) -> Result<Rows, Failure> {
        let request = self.request(ticket);
        let answer = self.client.clone().do_get(request).await.map_err(|status| self.failure(&status))?;
        self.remember(answer.metadata());
        let data = answer.into_inner().map_err(FlightError::from);
        let rows = FlightRecordBatchStream::new_from_flight_data(data);
        Ok(rows.map_err(move |error| status::of_stream(&error, &self.address)).boxed())
    }

    /// A call with what tells the server whose it is.
    fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let identity = self.identity();
        if let Some(token) = &identity.token {
            request.metadata_mut().insert(AUTHORIZATION, token.clone());
        }
        let cookies: Vec<String> = identity.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if let Ok(value) = MetadataValue::try_from(cookies.join("; "))
            && !cookies.is_empty()
        {
            request.metadata_mut().insert("cookie", value);
        }
        request
    }

    /// Keeps the token and the cookies of an answer.
    fn remember(&self, metadata: &MetadataMap) {
        let mut identity = self.identity();
        if let Some(token) = metadata.get(AUTHORIZATION) {
            let mut token = token.clone();
            token.set_sensitive(true);
            identity.token = Some(token);
        }
        for cookie in metadata.get_all("set-cookie").iter().filter_map(|cookie| cookie.to_str().ok()) {
            let pair = cookie.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                identity.cookies.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
    }

    fn identity(&self) -> std::sync::MutexGuard<'_, Identity> {
        // A panic elsewhere leaves it whole: each part is only ever replaced.
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failure(&self, status: &tonic::Status) -> Failure {
        status::failure(status, &self.address)
    }

    fn unreadable(&self, error: &FlightError) -> Failure {
        status::of_stream(error, &self.address)
    }
}

fn endpoint(address: &Address) -> Result<Endpoint, Failure> {
    let scheme = if address.tls { "https" } else { "http" };
    let endpoint = Endpoint::from_shared(format!("{scheme}://{}:{}", address.host, address.port))
        .map_err(|error| status::unreachable(&error, address))?
        .connect_timeout(CONNECTS_WITHIN)
        .tcp_nodelay(true)
        .http2_adaptive_window(true)
        .http2_keep_alive_interval(ASKED_EVERY)
        .keep_alive_timeout(ANSWERS_WITHIN);
    if !address.tls {
        return Ok(endpoint);
    }
    endpoint.tls_config(tls::config(address)?).map_err(|error| status::unreachable(&error, address))
}

/// What a server says beside the rows.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    tag: String,
    notices: Vec<String>,
}

impl Told {
    /// `{"tag": "INSERT 0 3", "notices": ["…"]}`. A server that says nothing has done what it was asked.
    fn read(metadata: &[u8]) -> Self {
        let told: serde_json::Value = serde_json::from_slice(metadata).unwrap_or_default();
        let tag = told["tag"].as_str().unwrap_or("OK").to_owned();
        let notices = told["notices"].as_array().map(Vec::as_slice).unwrap_or_default();
        Self { tag, notices: notices.iter().filter_map(|notice| notice.as_str().map(str::to_owned)).collect() }
    }
}

/// Work that a token cancels. Dropping the call resets its stream, by which the server learns of it.
async fn until<T>(cancel: &CancellationToken, work: impl Future<Output = T>) -> Result<T, Failure> {
    cancel.run_until_cancelled(work).await.ok_or(Failure::Statement(volley::Error::Cancelled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_beside_the_rows() {
        let told = Told::read(br#"{"tag": "INSERT 0 3", "notices": ["one", "two"]}"#);
        assert_eq!(told, Told { tag: "INSERT 0 3".to_owned(), notices: vec!["one".to_owned(), "two".to_owned()] });
        for nothing in [&b""[..], b"[]", b"\xff", b"{\"tag\": 3, \"notices\": {}}"] {
            assert_eq!(Told::read(nothing), Told { tag: "OK".to_owned(), notices: Vec::new() });
        }
    }
}
