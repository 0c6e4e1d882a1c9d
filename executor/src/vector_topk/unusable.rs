//! What a client is told when an index that a plan would use cannot be used.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;

use super::{Precision, VectorTopKExec};
use crate::search::Searcher;

/// One sentence for each search of a plan whose index is damaged. Such a search looks at every row of those segments.
pub async fn unusable_indexes(plan: &Arc<dyn ExecutionPlan>, task: &TaskContext) -> Result<Vec<String>> {
    let mut searches = Vec::new();
    plan.apply(|node| {
        if let Some(search) = node.downcast_ref::<VectorTopKExec>()
            && let Precision::Approximate { name, approximate } = &search.topk().precision
        {
            searches.push((Arc::clone(search.segments()), name.clone(), approximate.index.clone()));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let mut sentences = Vec::new();
    for (segments, name, index) in searches {
        let damaged = Searcher::of(task).unusable(&segments, &index).await;
        if damaged > 0 {
            let of = segments.iter().count();
            sentences.push(format!(
                "index {name} cannot be used for {damaged} of {of} segments, which are searched exactly; REINDEX builds it anew"
            ));
        }
    }
    Ok(sentences)
}
