//! The files of `slt/` on every topology and layout, with the vector top-k node and without it.
//!
//! `VOLLEY_SLT=part-of-a-name` runs only the files whose path has it. `VOLLEY_SLT_COMPLETE=1` writes what the records of
//! those files answer into them, for a person to read. `VOLLEY_TOPOLOGIES=all` runs every layout, and DataFusion's files, on a
//! cluster as well.

mod published;

use std::path::{Path, PathBuf};

use sqllogictest::Condition;
use volley_sql_tests::layout::Layout;
use volley_sql_tests::object_store::ObjectStore;
use volley_sql_tests::script::{Outcome, Script, Variant, run_file};
use volley_sql_tests::topology::Topology;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("slt")
}

/// The files of a folder whose path has what `VOLLEY_SLT` says, by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let filter = std::env::var("VOLLEY_SLT").unwrap_or_default();
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "slt") && path.to_string_lossy().contains(&filter)
            {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Fails with every record that failed.
fn report(name: &str, outcomes: impl IntoIterator<Item = Outcome>) {
    let (mut passed, mut failed) = (0, Vec::new());
    for outcome in outcomes {
        passed += outcome.passed;
        failed.extend(outcome.failures.iter().map(ToString::to_string));
    }
    println!("{name}: {passed} records passed, {} failed", failed.len());
    assert!(failed.is_empty(), "{name}: {} records failed\n{}", failed.len(), failed.join("\n\n"));
}

fn ours(layout: Layout, vector_topk: bool, on_disk: bool) {
    ours_on(Variant { topology: Topology::Embedded, layout, vector_topk, on_disk, indexed: false });
}

fn ours_on(variant: Variant) {
    let runtime = runtime();
    let mut files = files(&folder());
    files.retain(|file| !file.starts_with(folder().join("datafusion")));
    if variant.indexed {
        // Files that list the indexes there are want none but their own.
        files.retain(|file| !std::fs::read_to_string(file).unwrap().contains("volley.vector_indexes"));
    }
    let outcomes: Vec<_> = files.iter().map(|file| runtime.block_on(run_file(variant, file))).collect();
    report(&variant.to_string(), outcomes);
}

#[test]
fn one_segment() {
    if std::env::var_os("VOLLEY_SLT_COMPLETE").is_some() {
        return complete();
    }
    ours(Layout::Whole, true, false);
}

#[test]
fn five_files_on_disk() {
    ours(Layout::Files, true, true);
}

#[test]
fn thirty_two_commits() {
    ours(Layout::Many, true, false);
}

#[test]
fn one_segment_planned_without_the_vector_node() {
    ours(Layout::Whole, false, false);
}

#[test]
fn five_files_planned_without_the_vector_node() {
    ours(Layout::Files, false, false);
}

#[test]
fn over_flight_sql() {
    ours_on(Variant {
        topology: Topology::Server,
        layout: Layout::Whole,
        vector_topk: true,
        on_disk: true,
        indexed: false,
    });
}

#[test]
fn five_files_with_indexes() {
    let topology = Topology::Embedded;
    ours_on(Variant { topology, layout: Layout::Files, vector_topk: true, on_disk: false, indexed: true });
}

#[test]
fn five_files_on_a_cluster() {
    ours_on(on_cluster(Layout::Files, true));
}

/// The long form: the other layouts, and without the vector node.
#[test]
fn every_layout_on_a_cluster() {
    if all_topologies() {
        for layout in [Layout::Whole, Layout::Many] {
            ours_on(on_cluster(layout, true));
        }
        ours_on(on_cluster(Layout::Files, false));
        for layout in [Layout::Files, Layout::Many] {
            ours_on(Variant { indexed: true, ..on_cluster(layout, true) });
        }
    }
}

#[test]
fn five_files_on_a_cluster_over_an_object_store() {
    if ObjectStore::shared().is_some() {
        let over = |layout| Variant { topology: Topology::ClusterOnObjectStore, ..on_cluster(layout, true) };
        ours_on(over(Layout::Files));
        if all_topologies() {
            ours_on(over(Layout::Whole));
            ours_on(Variant { indexed: true, ..over(Layout::Many) });
        }
    }
}

fn on_cluster(layout: Layout, vector_topk: bool) -> Variant {
    Variant { topology: Topology::Cluster, layout, vector_topk, on_disk: true, indexed: false }
}

/// Whether the long form was asked for.
fn all_topologies() -> bool {
    std::env::var("VOLLEY_TOPOLOGIES").is_ok_and(|chosen| chosen == "all")
}

#[test]
fn over_an_object_store() {
    if ObjectStore::shared().is_some() {
        for layout in [Layout::Whole, Layout::Files] {
            ours_on(Variant {
                topology: Topology::ObjectStore,
                layout,
                vector_topk: true,
                on_disk: true,
                indexed: false,
            });
        }
    }
}

/// Every condition names a label that some variant has: a misspelt one would switch its record off for good.
#[test]
fn conditions_name_labels_that_exist() {
    let known = [
        "whole", "files", "many", "topk", "stock", "disk", "memory", "embedded", "server", "cluster", "indexed",
        "Volley",
    ];
    for file in files(&folder()) {
        for record in sqllogictest::parse_file::<volley_sql_tests::cells::ColumnType>(&file).unwrap() {
            if let sqllogictest::Record::Condition(Condition::OnlyIf { label } | Condition::SkipIf { label }) = record {
                let published = file.starts_with(folder().join("datafusion"));
                assert!(published || known.contains(&label.as_str()), "{}: unknown label {label}", file.display());
            }
        }
    }
}

fn complete() {
    let variant = Variant {
        topology: Topology::Embedded,
        layout: Layout::Whole,
        vector_topk: true,
        on_disk: false,
        indexed: false,
    };
    for file in files(&folder()) {
        runtime().block_on(async { Script::new(variant).await.unwrap().complete(&file).await.unwrap() });
    }
}
