use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::util::pretty::pretty_format_batches;
use futures::StreamExt;
use volley_storage::ErrorKind;

use crate::{DataLocation, Engine, EngineConfig, Error, QueryId, QueryRequest, Result, Session};

/// Runs until it is cancelled.
const ENDLESS: &str = "SELECT sum(a.value % 7) FROM generate_series(1, 1000000000000) a";

async fn engine() -> Arc<Engine> {
    let config = EngineConfig { threads: Some(2), ..EngineConfig::new(DataLocation::Memory) };
    Engine::open(config).await.unwrap()
}

async fn run(engine: &Engine, session: &Arc<Session>, sql: &str) -> Result<String> {
    let batches = engine.execute(QueryRequest::new(sql, session)).await?.collect().await?;
    Ok(pretty_format_batches(&batches).unwrap().to_string())
}

/// Starts a query that does not end by itself.
fn start(engine: &Arc<Engine>, session: &Arc<Session>) -> (QueryId, tokio::task::JoinHandle<Result<()>>) {
    let request = QueryRequest::new(ENDLESS, session);
    let (id, engine) = (request.query_id, Arc::clone(engine));
    let waiting = tokio::spawn(async move { engine.execute(request).await?.collect().await.map(drop) });
    (id, waiting)
}

/// Waits until `volley.queries` shows a query in one of these states.
async fn wait_for(engine: &Engine, session: &Arc<Session>, id: QueryId, state: &str) -> String {
    let sql = format!("SELECT user_name, statement, state FROM volley.queries WHERE query_id = '{id}'");
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let shown = run(engine, session, &sql).await.unwrap();
        if shown.contains(state) || Instant::now() > until {
            return shown;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_is_shown_and_cancelled() {
    let engine = engine().await;
    let session = engine.session();
    let (id, waiting) = start(&engine, &session);
    let shown = wait_for(&engine, &session, id, "streaming").await;
    assert!(shown.contains("volley") && shown.contains("generate_series") && shown.contains("streaming"), "{shown}");
    let result = engine.execute(QueryRequest::new(format!("CANCEL QUERY '{id}'"), &session)).await.unwrap();
    assert_eq!(result.tag, "CANCEL QUERY");
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    // Gone, so there is nothing more to cancel.
    let again = run(&engine, &session, &format!("CANCEL QUERY '{id}'")).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::UndefinedObject);
    assert!(!engine.cancel(id, None));
    let no_id = run(&engine, &session, "CANCEL QUERY 'x'").await.unwrap_err();
    assert_eq!(no_id.kind(), ErrorKind::UndefinedObject);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_see_and_cancel_their_own() {
    let engine = engine().await;
    let embedded = engine.session();
    for user in ["root PASSWORD 'r' SUPERUSER", "anna PASSWORD 'a'", "ben PASSWORD 'b'"] {
        run(&engine, &embedded, &format!("CREATE USER {user}")).await.unwrap();
    }
    let mut identities = Vec::new();
    for (user, password) in [("root", "r"), ("anna", "a"), ("ben", "b")] {
        identities.push(engine.authenticate(user, password).await.unwrap());
    }
    let [root, anna, ben] = &identities[..] else { panic!() };
    let sessions: Vec<_> = identities.iter().map(|identity| engine.session_of(Arc::clone(identity))).collect();
    let (id, waiting) = start(&engine, &sessions[1]);
    assert!(wait_for(&engine, &sessions[1], id, "streaming").await.contains("anna"));
    assert!(wait_for(&engine, &sessions[0], id, "streaming").await.contains("anna"));
    let count = "SELECT count(*) AS n FROM volley.queries WHERE user_name <> 'ben'";
    assert!(run(&engine, &sessions[2], count).await.unwrap().contains("| 0 "));
    let cancel = format!("CANCEL QUERY '{id}'");
    assert_eq!(run(&engine, &sessions[2], &cancel).await.unwrap_err().kind(), ErrorKind::UndefinedObject);
    assert!(!engine.cancel(id, Some(ben)));
    assert!(!waiting.is_finished());
    run(&engine, &sessions[1], &cancel).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    for by in [None, Some(&**root), Some(&**anna)] {
        let (id, waiting) = start(&engine, &sessions[1]);
        wait_for(&engine, &sessions[1], id, "streaming").await;
        assert!(engine.cancel(id, by));
        assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_is_registered_as_long_as_it_lives() {
    let engine = engine().await;
    let session = engine.session();
    let registered = || engine.registry().report().len();
    // Failed.
    run(&engine, &session, "SELECT nonsense").await.unwrap_err();
    assert_eq!(registered(), 0);
    // Read to its end, dropped before, and not read at all.
    let mut result = engine.execute(QueryRequest::new("SELECT 1", &session)).await.unwrap();
    assert_eq!(registered(), 1);
    while let Some(batch) = result.stream.next().await {
        batch.unwrap();
    }
    assert_eq!(registered(), 0);
    let many = "SELECT * FROM generate_series(1, 100000000)";
    let mut result = engine.execute(QueryRequest::new(many, &session)).await.unwrap();
    result.stream.next().await.unwrap().unwrap();
    assert_eq!(registered(), 1);
    drop(result);
    assert_eq!(registered(), 0);
    drop(engine.execute(QueryRequest::new("SET volley.batch_size = 100", &session)).await.unwrap());
    assert_eq!(registered(), 0);
    // Nobody waits for it any more.
    let request = QueryRequest::new(ENDLESS, &session);
    let gone =
        tokio::time::timeout(Duration::from_millis(50), async { engine.execute(request).await?.collect().await });
    assert!(gone.await.is_err());
    assert_eq!(registered(), 0);
    // Cancelled while its client is busy elsewhere.
    let request = QueryRequest::new(many, &session);
    let id = request.query_id;
    let mut result = engine.execute(request).await.unwrap();
    result.stream.next().await.unwrap().unwrap();
    assert!(engine.cancel(id, None));
    let state = wait_for(&engine, &session, id, "cancelling").await;
    assert!(state.contains("cancelling"), "{state}");
    let mut last = Ok(());
    while let Some(batch) = result.stream.next().await {
        last = batch.map(drop);
    }
    assert_eq!(Error::from(last.unwrap_err()).kind(), ErrorKind::Cancelled);
    assert_eq!(registered(), 0);
}

#[tokio::test]
async fn registering_costs_next_to_nothing() {
    let engine = engine().await;
    let request =
        QueryRequest::new("SELECT id FROM docs WHERE part = $2 ORDER BY e <=> $1 LIMIT 10", &engine.session());
    let queries = engine.registry();
    let start = Instant::now();
    const TIMES: u32 = 100_000;
    for _ in 0..TIMES {
        drop(queries.register(&request));
    }
    let each = start.elapsed() / TIMES;
    println!("registering takes {} ns", each.as_nanos());
    // Far more than it takes, so that a busy machine is no failure.
    assert!(each < Duration::from_micros(20), "{each:?}");
}

#[test]
fn ids_are_read_as_they_are_shown() {
    let id = QueryId::generate();
    assert_eq!(id.to_string().parse::<QueryId>().unwrap(), id);
    for wrong in ["", "x", "01ARZ3NDEKTSV4RRFFQ69G5FAVX", "01ARZ3NDEKTSV4RRFFQ69G5FA!"] {
        assert_eq!(wrong.parse::<QueryId>().unwrap_err().kind(), ErrorKind::InvalidText, "{wrong}");
    }
}
