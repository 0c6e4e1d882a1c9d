//! DataFusion's published files, as far as they apply; `slt/datafusion/README.md` says where they come from,
//! `slt/datafusion/SKIPPED.md` what does not run here and why.
//!
//! `select_files` (ignored) makes that folder from a directory of DataFusion's files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use volley_sql_tests::cells::ColumnType;
use volley_sql_tests::layout::Layout;
use volley_sql_tests::published::{self, Reason};
use volley_sql_tests::script::{Failure, Outcome, Script, Variant};
use volley_sql_tests::topology::Topology;

use super::{files, folder, report, runtime};

/// No file takes longer, or it is not among the selected.
const FILE_SECONDS_MAX: u64 = 60;

async fn run(topology: Topology, layout: Layout, file: &Path) -> Outcome {
    let on_disk = topology == Topology::Cluster;
    let variant = Variant { topology, layout, vector_topk: true, on_disk, indexed: false };
    let records = sqllogictest::parse_file::<ColumnType>(file).unwrap();
    let mut script = Script::new(variant).await.unwrap();
    // Many of these queries have no ORDER BY and rely on the order in which DataFusion's own tables give their rows.
    script.ignore_order();
    if topology != Topology::Embedded {
        script.ignore_types();
    }
    script.run(published::adapt(records)).await
}

#[test]
fn published_by_datafusion() {
    let runtime = runtime();
    let outcomes = files(&folder().join("datafusion")).into_iter().flat_map(|file| {
        [Layout::Whole, Layout::Files].map(|layout| runtime.block_on(run(Topology::Embedded, layout, &file)))
    });
    report("DataFusion's files", outcomes);
}

#[test]
fn published_by_datafusion_over_flight_sql() {
    let runtime = runtime();
    let files = files(&folder().join("datafusion"));
    let outcomes = files.iter().map(|file| runtime.block_on(run(Topology::Server, Layout::Whole, file)));
    report("DataFusion's files over Flight SQL", outcomes);
}

/// The long form: it takes a cluster for each file.
#[test]
fn published_by_datafusion_on_a_cluster() {
    if super::all_topologies() {
        let runtime = runtime();
        let files = files(&folder().join("datafusion"));
        let outcomes = files.iter().map(|file| runtime.block_on(run(Topology::Cluster, Layout::Files, file)));
        report("DataFusion's files on a cluster", outcomes);
    }
}

/// Copies the files of `DATAFUSION_SLT` that apply, puts `skipif Volley` before the records that do not, and writes
/// down why.
#[test]
#[ignore = "a tool: makes slt/datafusion from DATAFUSION_SLT"]
fn select_files() {
    let source =
        PathBuf::from(std::env::var_os("DATAFUSION_SLT").expect("DATAFUSION_SLT names DataFusion's test_files"));
    let target = folder().join("datafusion");
    let runtime = runtime();
    let mut selection = Selection::default();
    for file in files(&source) {
        let name = file.strip_prefix(&source).unwrap().to_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        if let Some(reason) = published::file_reason(&name.to_string_lossy(), &text) {
            selection.whole.insert(name, reason.to_owned());
            continue;
        }
        if sqllogictest::parse_file::<ColumnType>(&file).is_err() {
            selection.whole.insert(name, "uses a form of records that the runner does not read".to_owned());
            continue;
        }
        eprintln!("{}", name.display());
        let limit = std::time::Duration::from_secs(FILE_SECONDS_MAX);
        let mut failures = Vec::new();
        let mut passed = usize::MAX;
        let mut slow = false;
        for layout in [Layout::Whole, Layout::Files] {
            let file = file.clone();
            let running = runtime.spawn(async move { run(Topology::Embedded, layout, &file).await });
            match runtime.block_on(async { tokio::time::timeout(limit, running).await }) {
                Ok(outcome) => {
                    let outcome = outcome.unwrap();
                    passed = passed.min(outcome.passed);
                    outcome.failures.iter().for_each(|failure| eprintln!("{layout:?} {failure}\n"));
                    failures.extend(outcome.failures);
                }
                Err(_) => slow = true,
            }
        }
        if slow {
            selection.whole.insert(name, format!("takes more than {FILE_SECONDS_MAX} s"));
        } else if passed < 4 || passed * 2 < failures.len() / 2 {
            selection.whole.insert(name, format!("only {passed} of its records apply: {}", common(&failures)));
        } else {
            selection.take(&source, name, passed, failures);
        }
    }
    selection.write(&source, &target);
}

/// The most frequent reason.
fn common(failures: &[Failure]) -> String {
    let mut counts = BTreeMap::<String, usize>::new();
    for failure in failures {
        *counts.entry(published::reason(failure).to_string()).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(reason, _)| reason).unwrap_or_default()
}

/// What is copied and what is not.
#[derive(Default)]
struct Selection {
    whole: BTreeMap<PathBuf, String>,
    /// For each file that is copied, the records that run and the lines that are skipped.
    files: BTreeMap<PathBuf, (usize, BTreeMap<u32, Reason>)>,
}

impl Selection {
    fn take(&mut self, source: &Path, name: PathBuf, passed: usize, failures: Vec<Failure>) {
        self.files.entry(name).or_default().0 = passed;
        for failure in failures {
            let file = failure.file.strip_prefix(source).unwrap_or(&failure.file).to_owned();
            let reason = published::reason(&failure);
            self.files.entry(file).or_default().1.insert(failure.line, reason);
        }
    }

    fn write(&self, source: &Path, target: &Path) {
        // Parts that files include come along.
        let mut parts = BTreeSet::new();
        for name in self.files.keys() {
            let text = std::fs::read_to_string(source.join(name)).unwrap();
            for line in text.lines().filter_map(|line| line.strip_prefix("include ")) {
                parts.insert(name.parent().unwrap().join(line.trim().trim_start_matches("./")));
            }
        }
        let nothing = (0, BTreeMap::new());
        let names: BTreeSet<_> = self.files.keys().cloned().chain(parts).collect();
        for name in names {
            let (_, skipped) = self.files.get(&name).unwrap_or(&nothing);
            let text = std::fs::read_to_string(source.join(&name)).unwrap();
            let mut copy = String::new();
            for (number, line) in text.lines().enumerate() {
                if skipped.contains_key(&(number as u32 + 1)) {
                    copy.push_str("skipif Volley\n");
                }
                writeln!(copy, "{line}").unwrap();
            }
            let path = target.join(&name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, copy).unwrap();
        }
        std::fs::write(target.join("SKIPPED.md"), self.list()).unwrap();
    }

    fn list(&self) -> String {
        let mut text = String::from(published::SKIPPED_HEAD);
        text.push_str("\n## Records\nLines are those of the original file.\n");
        for (name, (passed, skipped)) in &self.files {
            if skipped.is_empty() {
                continue;
            }
            writeln!(text, "\n### {} ({passed} run, {} do not)", name.display(), skipped.len()).unwrap();
            let mut reasons = BTreeMap::<String, Vec<u32>>::new();
            for (line, reason) in skipped {
                reasons.entry(reason.to_string()).or_default().push(*line);
            }
            for (reason, lines) in reasons {
                let lines: Vec<_> = lines.iter().map(ToString::to_string).collect();
                writeln!(text, "- {reason}: {}", lines.join(", ")).unwrap();
            }
        }
        text.push_str("\n## Whole files\n");
        for (name, reason) in &self.whole {
            writeln!(text, "- {}: {reason}", name.display()).unwrap();
        }
        text
    }
}
