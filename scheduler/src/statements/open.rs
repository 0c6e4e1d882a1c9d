//! Queries that are planned first and read afterwards, once or again.
//!
//! A door hands out tickets before rows are read, and a ticket may be read more than once. What is kept for that is the
//! logical plan: its tables are pinned at their versions and its clock stands still, so every reading sees the same rows.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::{
    ExecutionPlan, ExecutionPlanProperties, Partitioning, execute_stream, execute_stream_partitioned,
};
use datafusion::sql::parser::Statement as AstStatement;
use datafusion::sql::sqlparser::ast;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use volley_planner::sql::Statement;
use volley_planner::table::VolleyTable;

use super::query::Planned;
use super::{Running, plain};
use crate::drive::Limits;
use crate::error::Result;
use crate::plan_cache::Found;
use crate::queries::Registered;
use crate::request::QueryResult;

/// The answer to a statement, or the way to it.
#[derive(Debug)]
pub enum Opened {
    /// The statement is done, or its rows were few enough to be there.
    Done(QueryResult),
    /// A query that has been planned and not been read.
    Query(Box<OpenQuery>),
}

/// A query that has been planned and can be read, also again: every reading sees the same versions of the tables.
pub struct OpenQuery {
    running: Running,
    state: SessionState,
    plan: LogicalPlan,
    /// The plan as it was lowered first, for the first who reads.
    lowered: Mutex<Option<Lowered>>,
    /// How long each reading may take.
    timeout: Option<Duration>,
    /// Its place among the running statements, until its first reading ends.
    registered: Mutex<Option<Registered>>,
    schema: SchemaRef,
    parts: usize,
    is_repeatable: bool,
    notices: Vec<String>,
}

/// A plan that can be executed once.
struct Lowered {
    plan: Arc<dyn ExecutionPlan>,
    task: Arc<TaskContext>,
    limits: Limits,
}

impl fmt::Debug for OpenQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenQuery").field("schema", &self.schema).field("parts", &self.parts).finish_non_exhaustive()
    }
}

impl OpenQuery {
    /// The columns of the answer.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Into how many parts the rows can be divided that are read side by side; 1 where they are in an order, or where the
    /// parts would wait for each other.
    pub fn parts(&self) -> usize {
        self.parts
    }

    /// What the user should know although nothing failed, a sentence each.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Whether every reading gives the same rows: nothing in the query is random, and all of it comes from tables whose version
    /// is pinned.
    pub fn is_repeatable(&self) -> bool {
        self.is_repeatable
    }

    /// Reads all rows. Dropping the stream ends the work; the request's token ends every reading.
    pub fn read(&self) -> BoxFuture<'_, Result<SendableRecordBatchStream>> {
        Box::pin(async move {
            let Lowered { plan, task, limits } = self.lower().await?;
            let stream = execute_stream(plan, task)?;
            Ok(self.registration().over(limits.stream(&self.running.shared.runtimes.cpu(), stream)))
        })
    }

    /// Reads all rows in [`parts`](Self::parts) streams, which together have each row once.
    pub fn read_parts(&self) -> BoxFuture<'_, Result<Vec<SendableRecordBatchStream>>> {
        Box::pin(async move {
            let Lowered { plan, task, limits } = self.lower().await?;
            let streams = match self.parts {
                1 => vec![execute_stream(plan, task)?],
                _ => execute_stream_partitioned(plan, task)?,
            };
            let cpu = self.running.shared.runtimes.cpu();
            let parts = streams.into_iter().map(|stream| limits.of_part().stream(&cpu, stream));
            Ok(parts.map(|part| self.registration().over(part)).collect())
        })
    }

    /// The same query under this registration, which ends with its first reading.
    pub(crate) fn registered(self, registered: Registered) -> Self {
        *self.registered.lock() = Some(registered);
        self
    }

    fn registration(&self) -> Registered {
        let first = self.registered.lock().take();
        first.unwrap_or_else(|| self.running.shared.queries.register(&self.running.request))
    }

    /// The plan to execute: what was lowered when the query was opened, for the first; afterwards a new one.
    async fn lower(&self) -> Result<Lowered> {
        if let Some(first) = self.lowered.lock().take() {
            return Ok(first);
        }
        let cancel = self.running.request.cancel.clone();
        let limits = Limits::new(cancel, self.timeout.map(|timeout| Instant::now() + timeout));
        let running = Running { limits: limits.clone(), ..self.running.clone() };
        let (state, plan) = (self.state.clone(), self.plan.clone());
        let lowering = async move {
            let (plan, task) = running.lower(&state, &plan).await?;
            Ok(Lowered { plan, task, limits: running.limits })
        };
        limits.run(&self.running.shared.runtimes.cpu(), lowering).await
    }
}

impl Running {
    /// Runs the statement, or plans it where it is a query whose rows may be many.
    pub(crate) async fn open(mut self, found: Option<Found>) -> Result<Opened> {
        let statement = match self.begin(found).await? {
            ControlFlow::Break(result) => return Ok(Opened::Done(result)),
            ControlFlow::Continue(statement) => statement,
        };
        let again = self.again(&statement).map(|statement| (self.clone(), statement));
        let opened = self.open_statement(statement).await;
        match again {
            Some((running, statement)) if running.names_may_be_old(opened.as_ref().err()).await? => {
                running.open_statement(statement).await
            }
            _ => opened,
        }
    }

    async fn open_statement(self, statement: Statement) -> Result<Opened> {
        let tag = statement.tag();
        match statement {
            Statement::Query(query) => self.open_query(tag, plain(ast::Statement::Query(query))).await,
            Statement::DataFusion(statement) => self.open_query(tag, plain(*statement)).await,
            other => Ok(Opened::Done(self.statement(other).await?)),
        }
    }

    async fn open_query(self, tag: &str, statement: AstStatement) -> Result<Opened> {
        let timeout = self.limits.remaining();
        let Planned { state, plan, physical, task, notices } = match self.planned(tag, statement).await? {
            ControlFlow::Break(result) => return Ok(Opened::Done(result)),
            ControlFlow::Continue(planned) => planned,
        };
        let (schema, parts) = (physical.schema(), independent_parts(&physical));
        let is_repeatable = is_repeatable(&plan)?;
        let lowered = Lowered { plan: physical, task, limits: self.limits.clone() };
        Ok(Opened::Query(Box::new(OpenQuery {
            running: self,
            state,
            plan,
            lowered: Mutex::new(Some(lowered)),
            timeout,
            registered: Mutex::new(None),
            schema,
            parts,
            is_repeatable,
            notices,
        })))
    }
}

/// The plan's partitions, where each can be read whether or not the others are: no order over them, and no exchange below.
fn independent_parts(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let exchanges = |plan: &Arc<dyn ExecutionPlan>| {
        let children = plan.children();
        // Operators with one input of as many partitions hand each of them on; any other mixes them.
        children.len() > 1
            || children.first().is_some_and(|child| partitions(child) != partitions(plan))
            || matches!(plan.output_partitioning(), Partitioning::Hash(..) | Partitioning::RoundRobinBatch(_))
    };
    let mut node = plan;
    loop {
        if exchanges(node) {
            return 1;
        }
        match node.children().first() {
            Some(child) => node = child,
            None => break,
        }
    }
    match plan.output_ordering() {
        Some(_) => 1,
        None => partitions(plan),
    }
}

/// Whether a plan gives the same rows whenever it is executed. A LIMIT may take other rows each time, whatever stands below it.
fn is_repeatable(plan: &LogicalPlan) -> Result<bool> {
    let mut repeatable = true;
    plan.apply_with_subqueries(|node| {
        let is_pinned = match node {
            LogicalPlan::TableScan(scan) => {
                source_as_provider(&scan.source).is_ok_and(|table| table.is::<VolleyTable>()) && scan.fetch.is_none()
            }
            LogicalPlan::Limit(_) => false,
            _ => true,
        };
        let is_volatile = node.expressions().iter().any(Expr::is_volatile);
        repeatable &= is_pinned && !is_volatile;
        Ok(if repeatable { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(repeatable)
}

fn partitions(plan: &Arc<dyn ExecutionPlan>) -> usize {
    plan.output_partitioning().partition_count()
}
