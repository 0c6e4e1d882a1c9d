//! Web analytics in the style of ClickBench: one wide table of page views, and queries that count, filter, group and sort it.
//! Rows and queries are Volley's own, so times say nothing beside ClickBench's published ones.
//!
//! | module | what it holds |
//! |---|---|
//! | [`data`] | the table `hits` as a Parquet file |
//! | [`row`] | how one page view is drawn |
//! | [`text`] | words, pages and phrases |
//! | [`queries`] | the queries, each one statement |

pub mod data;
pub mod queries;
pub mod row;
pub mod text;

#[cfg(test)]
mod tests;
