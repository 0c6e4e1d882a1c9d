//! The logical node `VectorTopK`.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, DFSchema, DFSchemaRef, Result, internal_err};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use volley_executor::search::Metric;
use volley_executor::vector_topk::{DISTANCE_COLUMN, ExactReason};
use volley_storage::ids::FieldId;

use crate::table::TableIndex;

/// The k rows of a table that are nearest to one vector, among those that satisfy a filter.
///
/// *Input:* a scan of the table. It names the columns that the winners need, prunes segments by its own filters, and
/// is never executed as a scan. *Output:* the scan's columns, then [`DISTANCE_COLUMN`] (Float64, NULL where the
/// distance is not defined), at most k rows, ordered by distance with NULL last, then by the tie-breakers, then by row
/// id. Column, filter and tie-breakers are the table's, whether or not the scan names them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VectorTopK {
    /// What is searched for.
    pub search: TopKSearch,
    /// The scan.
    pub input: LogicalPlan,
    schema: DFSchemaRef,
}

/// What a [`VectorTopK`] searches for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TopKSearch {
    /// The vector column.
    pub column: TableColumn,
    /// The distance.
    pub metric: Metric,
    /// What rows are compared with.
    pub query: QueryVector,
    /// Dimension of the column and of the query.
    pub dimension: usize,
    /// Rows wanted, the skipped ones included.
    pub k: usize,
    /// What decides between equal distances, before the row id does.
    pub ties: Vec<TieBreak>,
    /// What every row satisfies: deterministic, over the table's columns.
    pub filter: Option<Expr>,
    /// The largest distance wanted; rows without a distance are not, then.
    pub bound: Option<Bound>,
    /// How near to the truth the answer has to be, as far as the query says.
    pub precision: Demanded,
}

/// How near to the truth an answer has to be, as the query and the table's indexes have it; the session's settings say the
/// rest when the node is lowered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Demanded {
    /// Every row that qualifies is looked at.
    Exact(ExactReason),
    /// An index may be used.
    Approximate {
        /// The index.
        index: TableIndex,
        /// The recall that the query itself asks for.
        recall: Option<Recall>,
    },
}

/// A share of the true neighbours.
pub type Recall = Bits;
/// A distance.
pub type Bound = Bits;

/// A number. Equal if its bits are.
#[derive(Debug, Clone, Copy)]
pub struct Bits(pub f32);

impl PartialEq for Bits {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Bits {}

impl Hash for Bits {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl fmt::Display for Demanded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Demanded::Exact(reason) => write!(f, "strategy=exact ({reason})"),
            Demanded::Approximate { index, recall } => {
                write!(f, "index={}", index.name)?;
                recall.map_or(Ok(()), |recall| write!(f, ", recall_target={}", recall.0))
            }
        }
    }
}

/// A column of a Volley table, by id and as the plan calls it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableColumn {
    /// The column's id.
    pub field: FieldId,
    /// The column as the plan calls it.
    pub name: Column,
}

/// A further sort key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TieBreak {
    /// The column.
    pub column: TableColumn,
    /// Whether it ascends.
    pub asc: bool,
    /// Whether NULL comes first.
    pub nulls_first: bool,
}

/// What rows are compared with: the same vector for all of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum QueryVector {
    /// A vector that is known when the query is planned.
    Constant(ConstantVector),
    /// A subquery that depends on no row; it runs before the search and may give NULL.
    Subquery(Expr),
    /// A parameter, or an expression over one, whose value is not known yet: see [`crate::template`].
    Parameter(Expr),
}

impl QueryVector {
    /// Whether asking for it twice may give two vectors.
    pub fn is_volatile(&self) -> bool {
        let Self::Subquery(Expr::ScalarSubquery(subquery)) = self else { return false };
        let mut found = false;
        // The closure never fails, so neither does the walk.
        let _ = subquery.subquery.apply_with_subqueries(|node| {
            found |= node.expressions().iter().any(Expr::is_volatile);
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        });
        found
    }
}

/// A vector known to the plan. Equal if its bits are.
#[derive(Debug, Clone)]
pub struct ConstantVector(pub Arc<[f32]>);

impl ConstantVector {
    fn bits(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().map(|x| x.to_bits())
    }
}

impl PartialEq for ConstantVector {
    fn eq(&self, other: &Self) -> bool {
        self.bits().eq(other.bits())
    }
}

impl Eq for ConstantVector {}

impl Hash for ConstantVector {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bits().for_each(|bits| bits.hash(state));
    }
}

impl VectorTopK {
    /// A search over a scan of the table.
    pub fn try_new(search: TopKSearch, input: LogicalPlan) -> Result<Self> {
        let mut fields: Vec<_> = input.schema().iter().map(|(q, f)| (q.cloned(), Arc::clone(f))).collect();
        fields.push((None, Arc::new(Field::new(DISTANCE_COLUMN, DataType::Float64, true))));
        let schema = DFSchema::new_with_metadata(fields, input.schema().metadata().clone())?
            .with_functional_dependencies(input.schema().functional_dependencies().clone())?;
        Ok(Self { search, input, schema: Arc::new(schema) })
    }
}

/// Plans compare by value where they are the same and not at all otherwise: DataFusion asks for the trait, not for an
/// order.
impl PartialOrd for VectorTopK {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for VectorTopK {
    fn name(&self) -> &str {
        "VectorTopK"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    /// What gives the query vector, if it is no constant: a subquery is planned and run with those of all other nodes. Not the filter, which is over
    /// the table and not over the node's input.
    fn expressions(&self) -> Vec<Expr> {
        match &self.search.query {
            QueryVector::Constant(_) => Vec::new(),
            QueryVector::Subquery(expr) | QueryVector::Parameter(expr) => vec![expr.clone()],
        }
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let search = &self.search;
        write!(f, "VectorTopK: k={}, metric={}, column={}", search.k, search.metric, search.column.name)?;
        write!(f, ", dimension={}", search.dimension)?;
        match &search.query {
            QueryVector::Constant(_) => {}
            QueryVector::Subquery(_) => write!(f, ", query=subquery")?,
            QueryVector::Parameter(expr) => write!(f, ", query={expr}")?,
        }
        if !search.ties.is_empty() {
            let ties: Vec<_> = search.ties.iter().map(|tie| tie.to_string()).collect();
            write!(f, ", ties=[{}]", ties.join(", "))?;
        }
        if let Some(filter) = &search.filter {
            write!(f, ", filter={filter}")?;
        }
        if let Some(bound) = search.bound {
            write!(f, ", distance<={}", bound.0)?;
        }
        write!(f, ", {}", search.precision)
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let mut search = self.search.clone();
        if let QueryVector::Subquery(query) | QueryVector::Parameter(query) = &mut search.query {
            match exprs.pop() {
                Some(expr) => *query = expr,
                None => return internal_err!("VectorTopK lost its query vector"),
            }
        }
        match inputs.pop() {
            Some(input) if inputs.is_empty() && exprs.is_empty() => Self::try_new(search, input),
            _ => internal_err!("VectorTopK has one input and at most one expression"),
        }
    }

    /// The scan's columns that somebody above wants; the distance needs none of them.
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let scanned = self.input.schema().fields().len();
        Some(vec![output_columns.iter().copied().filter(|i| *i < scanned).collect()])
    }
}

impl fmt::Display for TieBreak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = if self.asc { "ASC" } else { "DESC" };
        let nulls = if self.nulls_first { "FIRST" } else { "LAST" };
        write!(f, "{} {order} NULLS {nulls}", self.column.name)
    }
}
