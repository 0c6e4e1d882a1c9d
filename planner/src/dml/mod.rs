//! Statements that change rows, planned so that executing the plan yields what the commit needs.
//!
//! | statement | the plan's rows |
//! |---|---|
//! | INSERT, COPY FROM, CREATE TABLE AS | the new rows, in the table's schema |
//! | DELETE | the addresses of the rows to delete (`_rowaddr`) |

mod assign;
mod constant;
mod copy;
mod delete;
mod insert;
mod parquet_footer;
mod plain_rows;

pub use assign::{AssignmentMode, assign_columns};
pub use constant::constant_rows;
pub use copy::{columns_by_name, first_file, plan_copy_from};
pub use delete::plan_delete;
pub use insert::{plan_insert, plan_insert_many};
pub(crate) use parquet_footer::check_footers;
pub use plain_rows::{PlainInsert, PlainRows};
