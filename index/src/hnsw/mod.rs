//! Approximate search: a graph in a file, and walks through it.
//!
//! An index is built over a segment's rows by [`build`] and is a file of its own. The graph is a hierarchical navigable
//! small world (Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using hierarchical
//! navigable small world graphs", 2018):
//!
//! | file | what it holds |
//! |---|---|
//! | `layout.rs` | the file, drawn: codes, links by row number, upper levels, copies |
//! | `build/` | [`build`]: encoding, growing, connecting, writing |
//! | `validate.rs` | [`validate`]: whether bytes are such a file, completely, once per content |
//! | `view.rs`, `graph.rs` | [`HnswView`]: a file that can be searched, straight from mapped bytes |
//! | `search/` | [`search`]: the walk, with an effort, a filter, a budget and a floor for every query |
//! | `rescore.rs` | [`Rescore`]: exact distances of what a walk found |
//!
//! A search is `search` for some more than k candidates, then `rescore` for k hits. Walks take no locks: a file has any
//! number of readers, each with a [`Scratch`] of its own.
//!
//! Walks find only what links lead to. The builder sees to it that all nodes can be reached from the entry point, so that
//! an unbounded walk finds every row (`ef` = rows); one with less effort may return fewer hits than there are.

mod build;
mod error;
mod graph;
mod layout;
mod params;
mod rescore;
mod search;
mod validate;
mod view;

pub use self::{
    build::{BuildRequest, build},
    error::{BuildError, Malformed},
    params::HnswParams,
    rescore::{CodeError, Rescore, rescore},
    search::{FilterMode, Scratch, Walk, Walked, search},
    validate::{Validated, validate},
    view::HnswView,
};

#[cfg(test)]
mod tests;
