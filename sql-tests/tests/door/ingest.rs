//! Bulk ingest: four modes, all or nothing.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{Int64Type, Schema};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{
    CommandStatementIngest, ProstMessageExt, TableDefinitionOptions, TableExistsOption, TableNotExistOption,
};
use arrow_flight::{FlightData, FlightDescriptor};
use futures::{StreamExt, stream};
use prost::Message;
use tonic::transport::Channel;
use tonic::{Code, Status};
use volley_server::options::Options;

use super::fixture::{Served, rows, runtime, status};

fn batch(ids: std::ops::Range<i64>) -> RecordBatch {
    let names = ids.clone().map(|id| format!("name {id}"));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(ids))),
        ("name", Arc::new(StringArray::from_iter_values(names))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn command(table: &str, missing: TableNotExistOption, exists: TableExistsOption) -> CommandStatementIngest {
    let options = TableDefinitionOptions { if_not_exist: missing as i32, if_exists: exists as i32 };
    CommandStatementIngest {
        table_definition_options: Some(options),
        table: table.to_owned(),
        ..CommandStatementIngest::default()
    }
}

async fn ingest(
    client: &mut FlightSqlServiceClient<Channel>,
    command: CommandStatementIngest,
    batches: Vec<RecordBatch>,
) -> Result<i64, Status> {
    client.execute_ingest(command, stream::iter(batches.into_iter().map(Ok))).await.map_err(status)
}

async fn count(client: &mut FlightSqlServiceClient<Channel>, table: &str) -> Option<i64> {
    let batches = rows(client, &format!("SELECT count(*) FROM {table}")).await.ok()?;
    Some(batches[0].column(0).as_primitive::<Int64Type>().value(0))
}

#[test]
fn the_four_modes() {
    use TableExistsOption as Exists;
    use TableNotExistOption as Missing;
    runtime().block_on(async {
        let served = Served::start(Options::default()).await;
        let client = &mut served.client().await;
        let create = || command("t", Missing::Create, Exists::Fail);
        let append = || command("t", Missing::Fail, Exists::Append);
        let replace = || command("t", Missing::Create, Exists::Replace);
        let create_append = || command("t", Missing::Create, Exists::Append);

        assert_eq!(ingest(client, append(), vec![batch(0..5)]).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(ingest(client, create(), vec![batch(0..5), batch(5..7)]).await.unwrap(), 7);
        assert_eq!(ingest(client, create(), vec![batch(0..5)]).await.unwrap_err().code(), Code::AlreadyExists);
        assert_eq!(ingest(client, append(), vec![batch(7..10)]).await.unwrap(), 3);
        assert_eq!(count(client, "t").await, Some(10));
        rows(client, "CREATE TABLE other (id BIGINT)").await.unwrap();
        assert_eq!(ingest(client, replace(), vec![batch(0..2)]).await.unwrap(), 2);
        assert_eq!(count(client, "t").await, Some(2));
        assert_eq!(ingest(client, create_append(), vec![batch(2..4)]).await.unwrap(), 2);
        assert_eq!(count(client, "t").await, Some(4));
        let new = command("Quoted name", Missing::Create, Exists::Append);
        assert_eq!(ingest(client, new, vec![batch(0..1)]).await.unwrap(), 1);
        assert_eq!(count(client, "\"Quoted name\"").await, Some(1));
        // No rows make a table all the same.
        let empty = command("empty", Missing::Create, Exists::Fail);
        assert_eq!(ingest(client, empty, vec![batch(0..0)]).await.unwrap(), 0);
        assert_eq!(count(client, "empty").await, Some(0));
        served.stop().await;
    });
}

/// The messages of an ingest that breaks off: with an error of the client's, or by the connection's end.
fn broken_off(command: &CommandStatementIngest) -> impl futures::Stream<Item = FlightData> + Send + use<> {
    let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    let batches = stream::iter((0..50).map(|i| Ok::<_, FlightError>(batch(i * 1_000..(i + 1) * 1_000))));
    let messages = FlightDataEncoderBuilder::new().with_flight_descriptor(Some(descriptor)).build(batches);
    messages.map(Result::unwrap)
}

#[test]
fn what_breaks_off_leaves_nothing() {
    use TableExistsOption as Exists;
    use TableNotExistOption as Missing;
    runtime().block_on(async {
        let served = Served::start(Options::default()).await;
        let client = &mut served.client().await;
        rows(client, "CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT NOT NULL)").await.unwrap();
        rows(client, "INSERT INTO t VALUES (1, 'one')").await.unwrap();
        let modes = [
            command("t", Missing::Fail, Exists::Append),
            command("t", Missing::Create, Exists::Append),
            command("t", Missing::Create, Exists::Replace),
            command("new", Missing::Create, Exists::Fail),
        ];
        for command in &modes {
            // The client's task ends, and its connection with it.
            let mut alone = served.bare().await;
            let messages = broken_off(command).chain(stream::pending());
            let sending = tokio::spawn(async move { alone.do_put(messages).await.map(|_| ()) });
            tokio::time::sleep(std::time::Duration::from_millis(150)).await;
            sending.abort();
        }
        // A client that cancels resets its stream, which is no end of it, whenever that happens.
        let append = command("t", Missing::Fail, Exists::Append);
        for round in 0..60 {
            let mut alone = served.bare().await;
            let messages = broken_off(&append).take(2).chain(stream::pending());
            let sending = tokio::spawn(async move { alone.do_put(messages).await.map(|_| ()) });
            tokio::time::sleep(std::time::Duration::from_micros(500 * round)).await;
            sending.abort();
        }
        // A stream with garbage in its middle.
        for command in &modes {
            let garbage = FlightData { data_header: vec![9; 40].into(), ..FlightData::default() };
            let messages = broken_off(command).take(10).chain(stream::iter([garbage]));
            let refused = served.bare().await.do_put(messages).await.err().unwrap();
            assert!(matches!(refused.code(), Code::InvalidArgument | Code::Internal), "{refused:?}");
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        assert_eq!(count(client, "t").await, Some(1));
        assert_eq!(count(client, "new").await, None);

        // Rows that the table does not take.
        let append = command("t", Missing::Fail, Exists::Append);
        let refused = ingest(client, append.clone(), vec![batch(10..20), batch(15..16)]).await.unwrap_err();
        assert_eq!(refused.code(), Code::AlreadyExists, "{refused:?}");
        let nothing = RecordBatch::try_from_iter_with_nullable(vec![
            ("id", Arc::new(Int64Array::from(vec![30])) as ArrayRef, true),
            ("name", Arc::new(StringArray::from(vec![None::<&str>])) as ArrayRef, true),
        ]);
        let refused = ingest(client, append.clone(), vec![nothing.unwrap()]).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
        let other: ArrayRef = Arc::new(Int64Array::from(vec![30]));
        let unknown = RecordBatch::try_from_iter(vec![("nmae", other)]).unwrap();
        let refused = ingest(client, append, vec![unknown]).await.unwrap_err();
        assert!(refused.message().contains("did you mean \"t.name\"?"), "{refused:?}");
        assert_eq!(count(client, "t").await, Some(1));
        served.stop().await;
    });
}

#[test]
fn compressed_batches_are_refused_unread() {
    runtime().block_on(async {
        let served = Served::start(Options::default()).await;
        let ingest = command("t", TableNotExistOption::Create, TableExistsOption::Fail);
        let descriptor = FlightDescriptor::new_cmd(ingest.as_any().encode_to_vec());
        let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD)).unwrap();
        let messages = FlightDataEncoderBuilder::new()
            .with_options(options)
            .with_flight_descriptor(Some(descriptor))
            .build(stream::iter([Ok(batch(0..10_000))]));
        let refused = served.bare().await.do_put(messages.map(Result::unwrap)).await.err().unwrap();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(refused.message().contains("compressed"), "{refused:?}");
        served.stop().await;
    });
}

#[test]
fn rows_of_no_parameters_count_all_the_same() {
    runtime().block_on(async {
        let served = Served::start(Options::default()).await;
        let client = &mut served.client().await;
        rows(client, "CREATE TABLE t (id BIGINT)").await.unwrap();
        // None is how drivers say that a statement has no parameters: it runs once.
        for (sent, wanted) in [(3, 3), (1, 1), (0, 1)] {
            let mut statement = client.prepare("INSERT INTO t VALUES (5)".into(), None).await.unwrap();
            let count = RecordBatchOptions::new().with_row_count(Some(sent));
            let nothing = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &count).unwrap();
            statement.set_parameters(nothing).unwrap();
            assert_eq!(statement.execute_update().await.unwrap(), wanted);
        }
        assert_eq!(count(client, "t").await, Some(5));
        let mut statement = client.prepare("INSERT INTO t VALUES ($1 + 1)".into(), None).await.unwrap();
        let many: ArrayRef = Arc::new(Int64Array::from_iter_values(0..5_000));
        statement.set_parameters(RecordBatch::try_from_iter([("$1", many)]).unwrap()).unwrap();
        assert_eq!(statement.execute_update().await.unwrap(), 5_000);
        // They were for that call.
        assert!(
            client.prepare("INSERT INTO t VALUES ($1)".into(), None).await.unwrap().execute_update().await.is_err()
        );
        assert_eq!(count(client, "t").await, Some(5_005));
        served.stop().await;
    });
}
