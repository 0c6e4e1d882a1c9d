//! What no client should send: the right code, one sentence, and a server that is none the worse for it.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, Int64Array, NullArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field};
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{Any, CommandStatementQuery, ProstMessageExt};
use arrow_flight::{Action, FlightData, FlightDescriptor, Ticket};
use futures::stream;
use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tonic::transport::Channel;
use tonic::{Code, Status};
use volley_server::options::Options;
use volley_server::options::values::Size;

use super::fixture::{Served, count, fetch, rows, runtime, status};

/// Codes that say "you", and not "I".
fn is_the_clients(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument
            | Code::NotFound
            | Code::PermissionDenied
            | Code::Unimplemented
            | Code::Unauthenticated
            | Code::OutOfRange
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::AlreadyExists
    )
}

async fn send_everywhere(client: &mut FlightServiceClient<Channel>, bytes: Vec<u8>) -> Vec<Option<Status>> {
    let descriptor = FlightDescriptor::new_cmd(bytes.clone());
    let data =
        FlightData { data_header: bytes.clone().into(), data_body: bytes.clone().into(), ..FlightData::default() };
    let data = data.with_descriptor(descriptor.clone());
    let known =
        ["CreatePreparedStatement", "CancelFlightInfo", "CancelQuery", "SetSessionOptions", "ClosePreparedStatement"];
    let mut said = vec![
        client.get_flight_info(descriptor.clone()).await.err(),
        client.poll_flight_info(descriptor.clone()).await.err(),
        client.get_schema(descriptor).await.err(),
        client.do_get(Ticket::new(bytes.clone())).await.err(),
        client.do_put(stream::iter([data])).await.err(),
    ];
    for action in known {
        said.push(client.do_action(Action::new(action, bytes.clone())).await.err());
    }
    said
}

#[test]
fn random_bytes_are_refused_everywhere() {
    // `VOLLEY_FUZZ_ROUNDS=100000` is the long form.
    let rounds = std::env::var("VOLLEY_FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    runtime().block_on(async {
        let served = Served::start(Options::default()).await;
        let mut client = served.bare().await;
        let mut sql = served.client().await;
        let ticket = sql.execute("SELECT 1".into(), None).await.unwrap().endpoint[0].ticket.clone().unwrap();
        let command = CommandStatementQuery { query: "SELECT 1, 'two'".into(), transaction_id: None }.as_any();
        let seeds = [ticket.ticket.to_vec(), command.encode_to_vec(), vec![0; 64]];
        let mut random = StdRng::seed_from_u64(7);
        for round in 0..rounds {
            let mut bytes = seeds[round % seeds.len()].clone();
            for _ in 0..random.random_range(1..6) {
                let at = random.random_range(0..bytes.len());
                match random.random_range(0..3) {
                    0 => bytes[at] = random.random(),
                    1 => bytes.truncate(at + 1),
                    _ => bytes.insert(at, random.random()),
                }
            }
            for status in send_everywhere(&mut client, bytes.clone()).await.into_iter().flatten() {
                assert!(is_the_clients(status.code()), "{bytes:?}: {status:?}");
                assert!(!status.message().contains('\n'), "more than a sentence: {status:?}");
            }
        }
        assert_eq!(count(&rows(&mut sql, "SELECT 1").await.unwrap()), 1);
        served.stop().await;
    });
}

#[test]
fn random_sql_is_answered_or_refused() {
    let rounds = std::env::var("VOLLEY_FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    const WORDS: &[&str] = &[
        "SELECT",
        "FROM",
        "t",
        "WHERE",
        "a",
        "=",
        "1",
        "(",
        ")",
        "'x'",
        "$1",
        "?",
        "ORDER BY",
        "LIMIT",
        "<=>",
        "'[1,2,3]'",
        "INSERT INTO",
        "VALUES",
        ",",
        "CREATE",
        "TABLE",
        "USER",
        "PASSWORD",
        "::vector",
        "--",
        "/*",
        "\"",
        "EXPLAIN",
        "*",
        "UNION",
        "DELETE",
        ";",
        "CANCEL QUERY",
        "SET",
        "volley.recall_target",
        "NULL",
        "CAST",
        "AS",
        "\u{0}",
        "é",
        "1e999",
    ];
    runtime().block_on(async {
        let served = Served::start(Options::default()).await;
        served.run(&["CREATE TABLE t (a BIGINT, v vector(3))"]).await;
        let mut client = served.client().await;
        let mut random = StdRng::seed_from_u64(11);
        for _ in 0..rounds {
            let length = random.random_range(1..14);
            let words: Vec<&str> = (0..length).map(|_| WORDS[random.random_range(0..WORDS.len())]).collect();
            let sql = words.join(" ");
            if let Err(status) = rows(&mut client, &sql).await {
                assert!(!matches!(status.code(), Code::Internal | Code::Unknown), "{sql}: {status:?}");
            }
        }
        assert_eq!(count(&rows(&mut client, "SELECT 1").await.unwrap()), 1);
        served.stop().await;
    });
}

#[test]
fn commands_that_mean_nothing_are_named() {
    runtime().block_on(async {
        let served = Served::start(Options::default()).await;
        let mut client = served.bare().await;
        let any = Any {
            type_url: "type.googleapis.com/arrow.flight.protocol.sql.CommandMakeCoffee".into(),
            value: "x".into(),
        };
        let refused = client.get_flight_info(FlightDescriptor::new_cmd(any.encode_to_vec())).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented);
        assert!(refused.message().contains("CommandMakeCoffee"), "{refused:?}");
        let refused = client.get_flight_info(FlightDescriptor::new_path(vec!["a".into()])).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented);
        let refused = client.do_put(stream::iter(Vec::<FlightData>::new())).await.err().unwrap();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let refused = client.do_action(Action::new("BeginTransaction", Vec::new())).await.err().unwrap();
        assert_eq!(refused.code(), Code::Unimplemented);
        served.stop().await;
    });
}

#[test]
fn long_messages_are_refused_before_they_are_read() {
    runtime().block_on(async {
        let served = Served::start(Options { max_message_size: Some(Size(1 << 20)), ..Options::default() }).await;
        let mut client = served.client().await;
        let long = format!("SELECT '{}'", "x".repeat(2 << 20));
        let refused = rows(&mut client, &long).await.unwrap_err();
        assert!(matches!(refused.code(), Code::OutOfRange | Code::ResourceExhausted), "{refused:?}");
        assert_eq!(count(&rows(&mut client, "SELECT 1").await.unwrap()), 1);
        served.stop().await;
    });
}

fn vector(values: &[f32]) -> ArrayRef {
    let item = Arc::new(Field::new("item", DataType::Float32, false));
    let values = Arc::new(Float32Array::from(values.to_vec()));
    let length = values.len() as i32;
    Arc::new(FixedSizeListArray::new(item, length, values, None))
}

async fn search(client: &mut FlightSqlServiceClient<Channel>, columns: Vec<ArrayRef>) -> Result<usize, Status> {
    let mut statement =
        client.prepare("SELECT id FROM t ORDER BY v <=> $1 LIMIT 2".into(), None).await.map_err(status)?;
    let names = (1..=columns.len()).map(|number| format!("${number}"));
    statement.set_parameters(RecordBatch::try_from_iter(names.zip(columns)).unwrap()).map_err(status)?;
    let info = statement.execute().await.map_err(status)?;
    Ok(count(&fetch(client, info).await?))
}

#[test]
fn parameters_are_checked() {
    runtime().block_on(async {
        let served = Served::start(Options::default()).await;
        served
            .run(&["CREATE TABLE t (id BIGINT, v vector(3))", "INSERT INTO t VALUES (1, '[1,2,3]'), (2, '[3,2,1]')"])
            .await;
        let mut client = served.client().await;
        assert_eq!(search(&mut client, vec![vector(&[1.0, 2.0, 3.0])]).await.unwrap(), 2);
        let text: ArrayRef = Arc::new(StringArray::from(vec!["[1, 2, 3]"]));
        assert_eq!(search(&mut client, vec![text]).await.unwrap(), 2);
        let wrong: Vec<(&str, Vec<ArrayRef>)> = vec![
            ("too long", vec![vector(&[1.0, 2.0, 3.0, 4.0])]),
            ("NaN", vec![vector(&[1.0, f32::NAN, 3.0])]),
            ("infinite", vec![vector(&[1.0, f32::INFINITY, 3.0])]),
            ("a number", vec![Arc::new(Int64Array::from(vec![7]))]),
            ("text that is no vector", vec![Arc::new(StringArray::from(vec!["seven"]))]),
            ("one too many", vec![vector(&[1.0, 2.0, 3.0]), vector(&[1.0, 2.0, 3.0])]),
        ];
        for (what, columns) in wrong {
            let refused = search(&mut client, columns).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{what}: {refused:?}");
        }
        // Columns of NULL weigh nothing on their way, and would be gigabytes as values.
        let wide: Vec<ArrayRef> = (0..1_000).map(|_| Arc::new(NullArray::new(400_000)) as ArrayRef).collect();
        let refused = search(&mut client, wide).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        let nothing: ArrayRef = Arc::new(NullArray::new(1));
        match search(&mut client, vec![nothing]).await {
            Ok(found) => assert_eq!(found, 2, "distances to NULL are NULL, and any two rows will do"),
            Err(refused) => assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}"),
        }
        assert_eq!(count(&rows(&mut client, "SELECT 1").await.unwrap()), 1);
        served.stop().await;
    });
}
