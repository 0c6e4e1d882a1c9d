//! TPC-H: its data, its 22 queries with the validation parameters, and answers that can be compared.
//!
//! | module | what it holds |
//! |---|---|
//! | [`data`] | the eight tables as Parquet files |
//! | [`queries`] | the queries, each one statement |
//! | [`answer`] | rows of any engine, compared with a tolerance; the published answers of scale factor 1 |
//! | [`compare`] | the same queries on Volley tables and on plain DataFusion over the original Parquet |

pub mod answer;
pub mod compare;
pub mod data;
pub mod queries;
