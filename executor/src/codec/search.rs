//! Searches and row fetches as bytes.

use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::Schema;
use datafusion::common::{Result, not_impl_err};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::PhysicalPlanDecodeContext;
use volley_storage::ids::FieldId;
use volley_storage::index_definition::IndexDefinition;

use super::messages::{self, FetchRows, Tie, VectorTopK};
use super::{Converter, encode_expr, malformed, scan_of, segments};
use crate::error::Error;
use crate::fetch_rows::FetchRowsExec;
use crate::search::{Approximate, FilterStrategy};
use crate::segment_set::SegmentSet;
use crate::vector_topk::{ExactReason, Precision, Query, SearchFilter, TieBreaker, TopK, VectorTopKExec};

pub(super) fn encode_topk(node: &VectorTopKExec, converter: Converter<'_>) -> Result<VectorTopK> {
    let topk = node.topk();
    let (vector, vector_expr) = match &topk.query {
        Query::Constant(vector) => (vector.to_vec(), None),
        Query::Expression(expr) => (Vec::new(), Some(encode_expr(expr, converter)?)),
        // Bound where it is executed, to be executed once.
        Query::Several(_) => return not_impl_err!("a search for several vectors is not sent elsewhere"),
    };
    let ties = topk.ties.iter().map(|tie| self::tie(tie.column.0, tie.options));
    let filter = topk.filter.as_ref();
    Ok(VectorTopK {
        column: topk.column.0,
        metric: topk.metric.to_string(),
        k: topk.k as u64,
        vector,
        vector_expr,
        ties: ties.collect(),
        carried: topk.carried.iter().map(|id| id.0).collect(),
        filter: filter.map(|filter| encode_expr(&filter.predicate, converter)).transpose()?,
        filter_columns: filter.map_or_else(Vec::new, |filter| filter.columns.iter().map(|id| id.0).collect()),
        bound: topk.bound,
        exact_reason: match &topk.precision {
            Precision::Exact(reason) => reason_number(*reason),
            Precision::Approximate { .. } => 0,
        },
        approximate: match &topk.precision {
            Precision::Exact(_) => None,
            Precision::Approximate { name, approximate } => Some(encode_approximate(name, approximate)),
        },
    })
}

pub(super) fn decode_topk(
    message: &VectorTopK,
    input: Arc<dyn ExecutionPlan>,
    task: &TaskContext,
    converter: Converter<'_>,
) -> Result<VectorTopKExec> {
    let context = PhysicalPlanDecodeContext::new(task, converter.codec);
    let query = match &message.vector_expr {
        Some(expr) => Query::Expression(converter.proto.proto_to_physical_expr(expr, &Schema::empty(), &context)?),
        None => Query::Constant(message.vector.as_slice().into()),
    };
    let columns = field_ids(&message.filter_columns);
    let filter = match &message.filter {
        None => None,
        Some(filter) => {
            let schema = columns_of(set_below(&input)?, &columns)?;
            let predicate = converter.proto.proto_to_physical_expr(filter, &schema, &context)?;
            Some(SearchFilter { predicate, columns })
        }
    };
    let topk = TopK {
        column: FieldId(message.column),
        metric: message.metric.parse().map_err(|_| malformed(format!("no metric {:?}", message.metric)))?,
        query,
        k: usize::try_from(message.k).map_err(|_| malformed("k is too large"))?,
        ties: message
            .ties
            .iter()
            .map(|tie| TieBreaker { column: FieldId(tie.column), options: options(tie) })
            .collect(),
        carried: field_ids(&message.carried),
        filter,
        bound: message.bound,
        precision: match &message.approximate {
            None => Precision::Exact(reason_of(message.exact_reason)?),
            Some(approximate) => decode_approximate(approximate)?,
        },
    };
    VectorTopKExec::try_new(topk, input)
}

pub(super) fn encode_approximate(name: &str, approximate: &Approximate) -> messages::Approximate {
    let IndexDefinition { method, columns, parameters } = &approximate.index;
    let parameter = |(name, value): &(String, String)| messages::Parameter { name: name.clone(), value: value.clone() };
    messages::Approximate {
        name: name.to_owned(),
        method: method.clone(),
        columns: columns.iter().map(|id| id.0).collect(),
        parameters: parameters.iter().map(parameter).collect(),
        recall_target: approximate.recall_target,
        ef: approximate.ef.map(|ef| ef as u64),
        strategy: approximate.strategy.name().to_owned(),
    }
}

/// The index that a message describes.
pub(super) fn decode_index(message: &messages::Approximate) -> IndexDefinition {
    let parameters = message.parameters.iter().map(|parameter| (parameter.name.clone(), parameter.value.clone()));
    IndexDefinition {
        method: message.method.clone(),
        columns: field_ids(&message.columns),
        parameters: parameters.collect(),
    }
}

pub(super) fn decode_approximate(message: &messages::Approximate) -> Result<Precision> {
    let index = decode_index(message);
    let strategy = FilterStrategy::of_name(&message.strategy);
    let strategy = strategy.ok_or_else(|| malformed(format!("no filter strategy {:?}", message.strategy)))?;
    let ef = message.ef.map(usize::try_from).transpose().map_err(|_| malformed("ef is too large"))?;
    let approximate = Approximate { index, recall_target: message.recall_target, ef, strategy };
    Ok(Precision::Approximate { name: message.name.clone(), approximate })
}

/// The reasons by the number they travel as.
const REASONS: [ExactReason; 4] =
    [ExactReason::NoIndex, ExactReason::OtherMetric, ExactReason::Asked, ExactReason::Setting];

fn reason_number(reason: ExactReason) -> u32 {
    REASONS.iter().position(|known| *known == reason).unwrap_or(0) as u32
}

fn reason_of(number: u32) -> Result<ExactReason> {
    let reason = REASONS.get(number as usize).copied();
    reason.ok_or_else(|| malformed(format!("no reason {number}")).into())
}

pub(super) fn encode_fetch(node: &FetchRowsExec, _converter: Converter<'_>) -> Result<FetchRows> {
    let order = node.order().iter().map(|key| match key.expr.downcast_ref::<Column>() {
        Some(column) => Ok(tie(i32::try_from(column.index()).unwrap_or(i32::MAX), key.options)),
        None => Err(Error::Internal { detail: format!("a search cannot be ordered by {}", key.expr) }),
    });
    Ok(FetchRows {
        segments: Some(segments::encode(node.segments(), |_| true)?),
        columns: node.columns().iter().map(|id| id.0).collect(),
        k: node.k() as u64,
        order: order.collect::<Result<_, _>>()?,
    })
}

pub(super) fn decode_fetch(
    message: &FetchRows,
    input: Arc<dyn ExecutionPlan>,
    task: &TaskContext,
    _converter: Converter<'_>,
) -> Result<FetchRowsExec> {
    let segments = message.segments.as_ref().ok_or_else(|| malformed("a row fetch has no segments"))?;
    let segments = segments::decode(segments, task)?;
    let searched = input.schema();
    let order = message.order.iter().map(|key| {
        let index = usize::try_from(key.column).unwrap_or(usize::MAX);
        let field = searched.fields().get(index).ok_or_else(|| malformed(format!("a search has no column {index}")))?;
        let column = Arc::new(Column::new(field.name(), index)) as Arc<dyn PhysicalExpr>;
        Ok(PhysicalSortExpr::new(column, options(key)))
    });
    let order = LexOrdering::new(order.collect::<Result<Vec<_>, Error>>()?).ok_or_else(|| malformed("no order"))?;
    let k = usize::try_from(message.k).map_err(|_| malformed("k is too large"))?;
    FetchRowsExec::try_new(input, order, segments, field_ids(&message.columns), k)
}

fn tie(column: i32, options: SortOptions) -> Tie {
    Tie { column, descending: options.descending, nulls_first: options.nulls_first }
}

fn options(tie: &Tie) -> SortOptions {
    SortOptions { descending: tie.descending, nulls_first: tie.nulls_first }
}

pub(super) fn field_ids(ids: &[i32]) -> Vec<FieldId> {
    ids.iter().copied().map(FieldId).collect()
}

/// The segments that the scan at the bottom of a chain of nodes names.
fn set_below(plan: &Arc<dyn ExecutionPlan>) -> Result<&SegmentSet> {
    match (scan_of(plan), plan.children().as_slice()) {
        (Some((_, source)), _) => Ok(source.segments()),
        (None, [child]) => set_below(child),
        _ => Err(malformed("a search has no scan of segments below it").into()),
    }
}

/// The schema that a filter over these columns sees.
pub(super) fn columns_of(set: &SegmentSet, columns: &[FieldId]) -> Result<Schema> {
    let indexes = columns.iter().map(|&column| set.column_index(column)).collect::<Result<Vec<_>, _>>()?;
    Ok(set.schema().arrow.project(&indexes)?)
}
