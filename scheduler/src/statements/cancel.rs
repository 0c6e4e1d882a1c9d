//! CANCEL QUERY.

use volley_planner::error::Error as PlannerError;
use volley_storage::ErrorKind;

use super::Running;
use crate::error::Result;
use crate::request::{QueryId, QueryResult};

impl Running {
    /// CANCEL QUERY: superusers cancel any query, others their own. Others' queries are not said to exist.
    pub(super) async fn cancel_query(&self, id: &str) -> Result<QueryResult> {
        let of = match self.is_superuser().await? {
            true => None,
            false => self.request.session.user(),
        };
        let is_found = id.parse::<QueryId>().is_ok_and(|id| self.shared.queries.cancel(id, of));
        match is_found {
            true => Ok(QueryResult::done("CANCEL QUERY")),
            false => {
                let sentence = "no query of this id is running; SELECT * FROM volley.queries shows those that are";
                Err(PlannerError::invalid(ErrorKind::UndefinedObject, sentence).into())
            }
        }
    }
}
