//! The Flight SQL door: who may come in, what they are given, and what it withstands.

mod credentials;
mod fixture;
mod http;
mod ingest;
mod load;
mod malformed;
mod results;
mod secrets;
