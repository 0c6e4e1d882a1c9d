//! `volley demo`: loads the sample that the program carries inside and walks through the features. Every result is computed
//! there and then.

mod tour;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use datafusion::common::ScalarValue;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use volley::{DataLocation, Engine, ErrorKind};

use crate::arguments::Common;
use crate::backend::{Backend, Request};
use crate::console::Console;
use crate::failure::Failure;
use crate::output::Format;
use crate::run::Runner;
use crate::verify;

/// The sample: name and content of each file. Inside the program, so that the demo needs nothing but the program.
const SAMPLE: &[(&str, &[u8])] = &[
    ("wordnet_synsets.parquet", include_bytes!("../../data/wordnet_synsets.parquet")),
    ("wordnet_relations.parquet", include_bytes!("../../data/wordnet_relations.parquet")),
    ("wordnet_queries.parquet", include_bytes!("../../data/wordnet_queries.parquet")),
];

/// Runs the demo: in a temporary directory, unless `location` names a place.
pub(crate) fn run(
    runtime: &Runtime,
    common: &Common,
    location: Option<DataLocation>,
    console: Console,
) -> Result<(), Failure> {
    let scratch = TempDir::with_prefix("volley-demo-").map_err(no_scratch)?;
    unpack(scratch.path())?;
    let kept = location.clone();
    let location = location.unwrap_or_else(|| DataLocation::Local(scratch.path().join("data")));
    let engine = crate::open(runtime, common, location)?;
    let mut runner = Runner::new(Backend::local(&engine), Format::Table);
    runner.shorten_vectors = true;
    runner.timing = true;
    runner.interruptible = true;
    let mut demo = Demo { engine, runner, console, files: scratch.path() };
    runtime.block_on(demo.walk())?;
    runtime.block_on(crate::run::settle(&demo.runner.backend, &demo.console));
    demo.farewell(kept.as_ref())
}

/// Writes the sample where COPY can read it.
fn unpack(directory: &Path) -> Result<(), Failure> {
    for (name, content) in SAMPLE {
        fs::write(directory.join(name), content).map_err(no_scratch)?;
    }
    Ok(())
}

fn no_scratch(error: std::io::Error) -> Failure {
    Failure::Refused {
        kind: ErrorKind::Io,
        sentence: format!("cannot write to the directory for temporary files: {error}"),
    }
}

struct Demo<'a> {
    engine: Arc<Engine>,
    runner: Runner,
    console: Console,
    /// Where the sample was unpacked.
    files: &'a Path,
}

impl Demo<'_> {
    async fn walk(&mut self) -> Result<(), Failure> {
        self.paragraph(tour::WELCOME)?;
        for step in tour::STEPS {
            writeln!(self.console.out(), "\n== {} ==", step.title)?;
            if !step.text.is_empty() {
                self.paragraph(step.text)?;
            }
            for sql in step.statements {
                self.statement(sql, step.sentence).await?;
            }
        }
        writeln!(self.console.out(), "\n== Trust, but verify ==")?;
        self.paragraph(tour::VERIFY)?;
        writeln!(self.console.out(), "\n$ volley verify")?;
        verify::run(&self.engine, &mut self.console).await
    }

    /// Shows a statement and runs it. `sentence`: whose embedding is `$1`.
    async fn statement(&mut self, sql: &str, sentence: Option<i64>) -> Result<(), Failure> {
        let sql = sql.replace("{files}", &self.files.display().to_string().replace('\'', "''"));
        writeln!(self.console.out())?;
        for (index, line) in sql.lines().enumerate() {
            writeln!(self.console.out(), "{} {line}", if index == 0 { "volley=>" } else { "       >" })?;
        }
        let values = match sentence {
            Some(id) => {
                let (text, embedding) = self.sentence(id).await?;
                writeln!(self.console.out(), "         -- $1 is the embedding of \"{text}\"")?;
                vec![embedding]
            }
            None => Vec::new(),
        };
        self.console.flush()?;
        self.runner.run_with(&sql, values, &mut self.console).await
    }

    /// A sentence of the sample and its embedding, from the table.
    async fn sentence(&self, id: i64) -> Result<(String, ScalarValue), Failure> {
        let sql = format!("SELECT text, embedding FROM queries WHERE query_id = {id}");
        let batches = self.runner.backend.execute(Request::new(sql)).await?.collect().await?;
        let row = batches.iter().find(|batch| batch.num_rows() > 0).ok_or_else(|| Failure::Refused {
            kind: ErrorKind::Internal,
            sentence: format!("sentence {id} of the sample is missing"),
        })?;
        let text = arrow::util::display::array_value_to_string(row.column(0), 0).map_err(volley_error)?;
        let embedding = ScalarValue::try_from_array(row.column(1), 0).map_err(volley::Error::from)?;
        Ok((text, embedding))
    }

    fn paragraph(&mut self, text: &str) -> Result<(), Failure> {
        Ok(writeln!(self.console.out(), "{text}")?)
    }

    fn farewell(mut self, kept: Option<&DataLocation>) -> Result<(), Failure> {
        match kept {
            Some(kept @ (DataLocation::Local(_) | DataLocation::Url(_))) => {
                writeln!(self.console.out(), "\nThe tables are in {kept}. Look around with: volley -d {kept}")?;
            }
            _ => self.paragraph(tour::FAREWELL)?,
        }
        Ok(self.console.flush()?)
    }
}

fn volley_error(error: arrow::error::ArrowError) -> Failure {
    Failure::Output(crate::output::OutputError::Value(error))
}
