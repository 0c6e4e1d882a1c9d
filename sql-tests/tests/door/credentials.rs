//! Every RPC with no credentials, with ones that are over, and with somebody else's.

use std::time::Duration;

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, Any,
    CommandGetCatalogs, CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo,
    CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementIngest, CommandStatementQuery,
    CommandStatementUpdate, ProstMessageExt,
};
use arrow_flight::{
    Action, CancelFlightInfoRequest, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest,
    Ticket,
};
use bytes::Bytes;
use futures::stream;
use prost::Message;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use volley_server::options::Options;
use volley_server::options::values::Period;

use super::fixture::{Served, count, fetch, fetch_ticket, prepared, rows, runtime, status};

/// Every command that a descriptor or a ticket can carry.
fn commands() -> Vec<Any> {
    let handle = Bytes::from_static(&[1; 16]);
    vec![
        CommandStatementQuery { query: "SELECT 1".into(), transaction_id: None }.as_any(),
        CommandPreparedStatementQuery { prepared_statement_handle: handle.clone() }.as_any(),
        CommandGetCatalogs {}.as_any(),
        CommandGetDbSchemas::default().as_any(),
        CommandGetTables::default().as_any(),
        CommandGetTableTypes {}.as_any(),
        CommandGetPrimaryKeys::default().as_any(),
        CommandGetExportedKeys::default().as_any(),
        CommandGetImportedKeys::default().as_any(),
        CommandGetCrossReference::default().as_any(),
        CommandGetXdbcTypeInfo::default().as_any(),
        CommandGetSqlInfo::default().as_any(),
        CommandStatementUpdate { query: "CREATE TABLE hacked (a INT)".into(), transaction_id: None }.as_any(),
        CommandPreparedStatementUpdate { prepared_statement_handle: handle }.as_any(),
        CommandStatementIngest { table: "hacked".into(), ..CommandStatementIngest::default() }.as_any(),
    ]
}

/// Every action, with a body that would be understood.
fn actions() -> Vec<Action> {
    let create = ActionCreatePreparedStatementRequest { query: "SELECT 1".into(), transaction_id: None };
    let close = ActionClosePreparedStatementRequest { prepared_statement_handle: Bytes::from_static(&[1; 16]) };
    let info = FlightInfo::default();
    let cancel = ActionCancelQueryRequest { info: info.encode_to_vec().into() };
    let cancel_info = CancelFlightInfoRequest { info: Some(info) };
    let bodies: [(&str, Vec<u8>); 8] = [
        ("CreatePreparedStatement", create.as_any().encode_to_vec()),
        ("ClosePreparedStatement", close.as_any().encode_to_vec()),
        ("CancelQuery", cancel.as_any().encode_to_vec()),
        ("CancelFlightInfo", cancel_info.encode_to_vec()),
        ("SetSessionOptions", Vec::new()),
        ("GetSessionOptions", Vec::new()),
        ("CloseSession", Vec::new()),
        ("Anything", Vec::new()),
    ];
    bodies.into_iter().map(|(name, body)| Action::new(name, body)).collect()
}

/// A request with what the header `authorization` says, or without it.
fn with<T>(message: T, authorization: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(value) = authorization {
        request.metadata_mut().insert("authorization", MetadataValue::try_from(value).unwrap());
    }
    request
}

/// What each RPC says to such credentials, by name.
async fn refusals(
    client: &mut FlightServiceClient<Channel>,
    authorization: Option<&str>,
) -> Vec<(String, Option<Status>)> {
    let mut said = Vec::new();
    for any in commands() {
        let name = any.type_url.rsplit('.').next().unwrap().to_owned();
        let descriptor = FlightDescriptor::new_cmd(any.encode_to_vec());
        let ticket = Ticket::new(any.encode_to_vec());
        let data = FlightData::default().with_descriptor(descriptor.clone());
        let info = client.get_flight_info(with(descriptor.clone(), authorization)).await.err();
        said.push((format!("GetFlightInfo {name}"), info));
        let poll = client.poll_flight_info(with(descriptor.clone(), authorization)).await.err();
        said.push((format!("PollFlightInfo {name}"), poll));
        said.push((format!("GetSchema {name}"), client.get_schema(with(descriptor, authorization)).await.err()));
        said.push((format!("DoGet {name}"), client.do_get(with(ticket, authorization)).await.err()));
        said.push((
            format!("DoPut {name}"),
            client.do_put(with(stream::iter([data.clone()]), authorization)).await.err(),
        ));
        said.push((
            format!("DoExchange {name}"),
            client.do_exchange(with(stream::iter([data]), authorization)).await.err(),
        ));
    }
    for action in actions() {
        let name = action.r#type.clone();
        said.push((format!("DoAction {name}"), client.do_action(with(action, authorization)).await.err()));
    }
    said.push(("ListActions".into(), client.list_actions(with(Empty {}, authorization)).await.err()));
    said.push(("ListFlights".into(), client.list_flights(with(Criteria::default(), authorization)).await.err()));
    said
}

#[test]
fn every_rpc_wants_credentials() {
    runtime().block_on(async {
        let second = Some(Period(Duration::from_secs(1)));
        let served = Served::start(Options { token_lifetime: second, ..Options::default() }).await;
        served.run(&["CREATE USER ada PASSWORD 'lovelace' SUPERUSER"]).await;
        let mut client = served.bare().await;
        let ada = served.client_of("ada", "lovelace").await;
        let token = format!("Bearer {}", ada.token().unwrap());
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let wrong = [
            None,
            Some(token.as_str()),
            Some("Bearer AAAA"),
            Some("Bearer "),
            Some("Basic YWRhOndyb25n"),
            Some("Basic bm9ib2R5OnNlY3JldA=="),
            Some("Digest x"),
        ];
        let mut refused = 0;
        for authorization in wrong {
            for (rpc, said) in refusals(&mut client, authorization).await {
                let said = said.unwrap_or_else(|| panic!("{rpc} was answered with {authorization:?}"));
                assert_eq!(said.code(), Code::Unauthenticated, "{rpc} with {authorization:?}: {said:?}");
                refused += 1;
            }
        }
        // The handshake as well, whose credentials are its message.
        for authorization in &wrong[4..6] {
            let hello = with(stream::iter([HandshakeRequest::default()]), *authorization);
            assert_eq!(client.handshake(hello).await.err().unwrap().code(), Code::Unauthenticated);
            refused += 1;
        }
        println!("{refused} calls refused");
        let mut ada = served.client_of("ada", "lovelace").await;
        let hacked = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'hacked'";
        assert_eq!(rows(&mut ada, hacked).await.unwrap()[0].column(0).len(), 1);
        served.stop().await;
    });
}

#[test]
fn what_belongs_to_one_user_is_nothing_to_another() {
    runtime().block_on(async {
        let served = Served::start(Options::default()).await;
        served.run(&["CREATE USER ada PASSWORD 'lovelace' SUPERUSER", "CREATE USER bob PASSWORD 'builder'"]).await;
        let (mut ada, mut bob) = (served.client_of("ada", "lovelace").await, served.client_of("bob", "builder").await);

        let info = ada.execute("SELECT 42".into(), None).await.unwrap();
        let ticket = info.endpoint[0].ticket.clone().unwrap();
        assert_eq!(fetch_ticket(&mut bob, ticket.clone()).await.unwrap_err().code(), Code::PermissionDenied);
        // A ticket that is changed in any place is none.
        for at in 0..ticket.ticket.len() {
            let mut changed = ticket.ticket.to_vec();
            changed[at] ^= 1;
            let refused = fetch_ticket(&mut ada, Ticket::new(changed)).await.unwrap_err();
            assert!(matches!(refused.code(), Code::PermissionDenied | Code::InvalidArgument), "{refused:?}");
        }
        assert_eq!(count(&fetch(&mut ada, info.clone()).await.unwrap()), 1);

        let cancel = CancelFlightInfoRequest { info: Some(info.clone()) };
        let refused = bob.do_action(Request::new(Action::new("CancelFlightInfo", cancel.encode_to_vec()))).await;
        assert_eq!(status(refused.err().unwrap()).code(), Code::PermissionDenied);
        assert_eq!(count(&fetch(&mut ada, info).await.unwrap()), 1);

        let handle = prepared(&mut ada, "SELECT 42").await;
        let command = CommandPreparedStatementQuery { prepared_statement_handle: handle };
        let token = format!("Bearer {}", bob.token().unwrap());
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let refused = served.bare().await.get_flight_info(with(descriptor, Some(&token))).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        served.stop().await;
    });
}

#[test]
fn a_token_ends_with_the_password_it_was_given_for() {
    runtime().block_on(async {
        let served = Served::start(Options::default()).await;
        served.run(&["CREATE USER ada PASSWORD 'lovelace' SUPERUSER", "CREATE USER bob PASSWORD 'builder'"]).await;
        let (mut ada, mut bob) = (served.client_of("ada", "lovelace").await, served.client_of("bob", "builder").await);
        assert_eq!(count(&rows(&mut bob, "SELECT 1").await.unwrap()), 1);
        rows(&mut ada, "ALTER USER bob PASSWORD 'wendy'").await.unwrap();
        assert_eq!(rows(&mut bob, "SELECT 1").await.unwrap_err().code(), Code::Unauthenticated);
        let mut bob = served.client_of("bob", "wendy").await;
        let refused = rows(&mut bob, "CREATE USER eve PASSWORD 'x'").await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
        rows(&mut ada, "DROP USER bob").await.unwrap();
        assert_eq!(rows(&mut bob, "SELECT 1").await.unwrap_err().code(), Code::Unauthenticated);
        served.stop().await;
    });
}
