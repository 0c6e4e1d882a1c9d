//! The way to search under a filter that is chosen, beside those that can be forced.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use volley::{Engine, Session};

use crate::prepared::rate;
use crate::queries::{Query, ask, distances, read_queries, run, share_of};
use crate::workloads::{WORKLOADS, Workload};
use crate::{Arguments, Fallible};

/// What `volley.filter_strategy` may say.
const STRATEGIES: [&str; 4] = ["auto", "in", "post", "exact"];

/// Queries that are asked of one strategy before it is the next one's turn, so that all meet the same neighbours.
const TURN: usize = 50;

/// How often each query is asked of each strategy; the best time counts, so that a noisy neighbour does not.
const ROUNDS: usize = 3;

/// Queries that come first, which teach how hard a filter is.
const WARMING: usize = 100;

/// The recall that a forced way has to reach to be compared with, unless the chosen one has less: the default target.
const RECALL_TARGET: f64 = 0.95;

/// All data sets that have filters, each in a directory of its own below `home`.
pub(crate) async fn compare_all(arguments: &Arguments, home: &Path) -> Fallible<()> {
    for workload in WORKLOADS.iter().filter(|workload| workload.computed.is_empty()) {
        compare(arguments, &home.join(workload.name), workload).await?;
    }
    Ok(())
}

/// Prints a table: for each filter, queries per second and recall of each way, and the chosen one's rate as a share of the
/// best one's. Each way has an engine of its own, so that none learns from what another did.
pub(crate) async fn compare(arguments: &Arguments, home: &Path, workload: &Workload) -> Fallible<()> {
    arguments.open_loaded(home, workload).await?.0.close().await;
    let mut ways = Vec::new();
    for strategy in STRATEGIES {
        let (engine, session) = arguments.open(home).await?;
        run(&engine, &session, &format!("SET volley.filter_strategy = '{strategy}'")).await?;
        ways.push(Way { engine, session });
    }
    let mut queries = read_queries(&arguments.directory.join(workload.queries), workload.truths[0].0, arguments.k())?;
    queries.truncate(arguments.count());
    println!("| {} | rows left | auto | in | post | exact | auto / best |", workload.name);
    println!("|---|---|---|---|---|---|---|");
    for condition in workload.filters() {
        let sql = workload.exact_search(condition, arguments.k());
        for query in &mut queries {
            query.distances = distances(&ways[0].engine, &ways[0].session, &sql, vec![query.vector.clone()]).await?;
        }
        let sql = workload.search(condition, arguments.k());
        let measured = measure(&ways, &sql, &queries).await?;
        let passing = share_of(&ways[0].engine, &ways[0].session, condition).await?;
        report(condition, passing, &measured);
    }
    for way in ways {
        way.engine.close().await;
    }
    Ok(())
}

/// One strategy.
struct Way {
    engine: Arc<Engine>,
    session: Arc<Session>,
}

/// What a strategy did.
#[derive(Debug, Clone, Copy, Default)]
struct Measured {
    rate: f64,
    recall: f64,
}

/// Asks all queries of all ways, in turns.
async fn measure(ways: &[Way], sql: &str, queries: &[Query]) -> Fallible<Vec<Measured>> {
    for Way { engine, session } in ways {
        ask(engine, session, sql, &queries[..queries.len().min(WARMING)]).await?;
    }
    let mut best = vec![vec![Duration::MAX; queries.len()]; ways.len()];
    let mut found = vec![(0, 0); ways.len()];
    for _ in 0..ROUNDS {
        for (turn, asked) in queries.chunks(TURN).enumerate() {
            // There and back, so that a way does not always follow the same one and find the caches full of its rows.
            let mut order: Vec<usize> = (0..ways.len()).collect();
            if turn % 2 == 1 {
                order.reverse();
            }
            for way in order {
                let (Way { engine, session }, best, found) = (&ways[way], &mut best[way], &mut found[way]);
                for (query, best) in asked.iter().zip(&mut best[turn * TURN..]) {
                    let begun = Instant::now();
                    let (right, wanted) = ask(engine, session, sql, std::slice::from_ref(query)).await?;
                    *best = begun.elapsed().min(*best);
                    *found = (found.0 + right, found.1 + wanted);
                }
            }
        }
    }
    let measured = |(best, (right, wanted)): (Vec<Duration>, (usize, usize))| Measured {
        rate: rate(&best),
        recall: right as f64 / wanted as f64,
    };
    Ok(best.into_iter().zip(found).map(measured).collect())
}

fn report(condition: &str, passing: f64, measured: &[Measured]) {
    let auto = measured.first().copied().unwrap_or_default();
    let enough = auto.recall.min(RECALL_TARGET);
    let forced = measured.iter().skip(1).filter(|forced| forced.recall >= enough);
    let best = forced.map(|forced| forced.rate).fold(0.0, f64::max);
    let cells: Vec<String> =
        measured.iter().map(|Measured { rate, recall }| format!("{rate:.0} ({recall:.3})")).collect();
    println!("| `{condition}` | {:.2} % | {} | {:.2} |", passing * 100.0, cells.join(" | "), auto.rate / best);
}
