//! Queries by way of executors give what one process gives; executors that fail in the middle change nothing.

mod failing;
mod fixture;
mod proxy;
mod reading;
