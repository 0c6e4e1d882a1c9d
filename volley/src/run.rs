//! Runs one statement: executes it, writes its result, lets Ctrl-C cancel it.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use futures::StreamExt;
use volley::{CancellationToken, Engine};

use crate::backend::{Backend, Request, Rows};
use crate::console::Console;
use crate::failure::Failure;
use crate::output::{Format, ResultWriter, TableOptions};
use crate::progress::{APPEARS_AFTER, Progress, REDRAWN_EVERY};

/// Runs statements in one session.
pub(crate) struct Runner {
    /// Where they run.
    pub(crate) backend: Backend,
    /// How results are written.
    pub(crate) format: Format,
    /// Whether tables show one value per line.
    pub(crate) expanded: bool,
    /// Whether long vectors are shortened in tables, wherever they are shown.
    pub(crate) shorten_vectors: bool,
    /// Whether the time is written after each statement.
    pub(crate) timing: bool,
    /// Whether Ctrl-C cancels the statement instead of ending the program.
    pub(crate) interruptible: bool,
}

impl Runner {
    /// A runner as `volley sql` needs it.
    pub(crate) fn new(backend: Backend, format: Format) -> Self {
        Self { backend, format, expanded: false, shorten_vectors: false, timing: false, interruptible: false }
    }

    /// Runs a statement without parameters; its output is flushed when this returns.
    pub(crate) async fn run(&self, sql: &str, console: &mut Console) -> Result<(), Failure> {
        self.run_with(sql, Vec::new(), console).await
    }

    /// Runs a statement with values for `$1`, `$2` …
    pub(crate) async fn run_with(
        &self,
        sql: &str,
        values: Vec<ScalarValue>,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let request = Request { values, ..Request::new(sql) };
        let started = Instant::now();
        let done = self.supervise(request, console).await;
        // What a failed statement had already written stands before its error.
        console.flush()?;
        if self.timing {
            writeln!(console.out(), "Time: {}", milliseconds(started.elapsed()))?;
            console.flush()?;
        }
        done
    }

    /// Drives the statement, the spinner and Ctrl-C side by side.
    async fn supervise(&self, mut request: Request, console: &mut Console) -> Result<(), Failure> {
        let progress = Progress::hidden();
        let shows_progress = console.out_is_terminal && console.err_is_terminal;
        let reported = Arc::new(volley::Progress::default());
        request.progress = shows_progress.then(|| Arc::clone(&reported));
        let cancel = request.cancel.clone();
        let result = {
            let mut work = pin!(self.execute(request, console, &progress));
            let mut appear = pin!(tokio::time::sleep(APPEARS_AFTER));
            let mut interrupted = pin!(interrupted(self.interruptible, cancel));
            let mut redrawn = tokio::time::interval(REDRAWN_EVERY);
            let mut waiting_to_appear = shows_progress;
            loop {
                tokio::select! {
                    biased;
                    result = &mut work => break result,
                    () = &mut interrupted => break Err(Failure::Statement(volley::Error::Cancelled)),
                    () = &mut appear, if waiting_to_appear => {
                        waiting_to_appear = false;
                        progress.appear();
                    }
                    _ = redrawn.tick(), if shows_progress => {
                        if let Some(now) = reported.now() {
                            progress.report(&now);
                        }
                    }
                }
            }
        };
        progress.clear();
        result
    }

    async fn execute(&self, request: Request, console: &mut Console, progress: &Progress) -> Result<(), Failure> {
        let answer = self.backend.execute(request).await?;
        for notice in &answer.notices {
            progress.clear();
            console.notice(notice)?;
        }
        match answer.rows {
            Some(rows) => self.write_rows(answer.schema, rows, console, progress).await,
            None => {
                progress.clear();
                if self.format == Format::Table {
                    writeln!(console.out(), "{}", answer.tag)?;
                }
                Ok(())
            }
        }
    }

    async fn write_rows(
        &self,
        schema: SchemaRef,
        mut rows: Rows,
        console: &mut Console,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let options = TableOptions {
            expanded: self.expanded,
            shorten_vectors: self.shorten_vectors || console.out_is_terminal,
            width: console.table_width(schema.fields().len()),
        };
        let mut writer = ResultWriter::begin(self.format, schema, options);
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            progress.rows(batch.num_rows() as u64);
            if writer.has_written() {
                progress.clear();
            }
            writer.batch(&batch, console.out())?;
        }
        progress.clear();
        Ok(writer.end(console.out())?)
    }
}

/// Waits for what the statements left to the background, above all the indexing of new rows. Ctrl-C leaves it to a
/// later write or REINDEX. A server looks after its own; it only hears that the session is over.
pub(crate) async fn settle(backend: &Backend, console: &Console) {
    match backend {
        Backend::Local { engine, .. } => settle_engine(engine, console).await,
        Backend::Remote(connection) => connection.close().await,
    }
}

async fn settle_engine(engine: &Engine, console: &Console) {
    let progress = Progress::hidden();
    {
        let mut closing = pin!(engine.close());
        let mut appear = pin!(tokio::time::sleep(APPEARS_AFTER));
        let mut waiting_to_appear = console.err_is_terminal;
        loop {
            tokio::select! {
                biased;
                () = &mut closing => break,
                _ = tokio::signal::ctrl_c() => break,
                () = &mut appear, if waiting_to_appear => {
                    waiting_to_appear = false;
                    progress.say("adding the new rows to their indexes; Ctrl-C leaves that for later");
                    progress.appear();
                }
            }
        }
    }
    progress.clear();
}

/// Resolves when the statement must be given up: Ctrl-C cancels it and lets it end by itself, a second one does not wait.
async fn interrupted(interruptible: bool, cancel: CancellationToken) {
    if !interruptible {
        return std::future::pending().await;
    }
    for _ in 0..2 {
        if tokio::signal::ctrl_c().await.is_err() {
            return std::future::pending().await;
        }
        cancel.cancel();
    }
}

/// A duration as psql writes it.
pub(crate) fn milliseconds(duration: Duration) -> String {
    format!("{:.3} ms", duration.as_secs_f64() * 1000.0)
}
