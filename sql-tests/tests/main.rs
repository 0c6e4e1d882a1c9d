//! Volley through SQL. One binary, because every binary links DataFusion again.

mod acceptance;
mod bad_input;
mod cluster;
mod door;
mod properties;
mod slt;
