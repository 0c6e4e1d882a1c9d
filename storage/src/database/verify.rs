//! Verifying a data directory: every log, file and checksum, naming each thing that is wrong.

use super::{Database, file_path, format, table_root};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::files::FileCache;
use crate::ids::{SegmentId, TableId, Version};
use crate::log::{Log, LogState};
use crate::segment::{Deletes, FileRef, Segment};
use crate::table::TableState;
use crate::verify::{self, Finding, VerifyReport};
use futures::{StreamExt, stream};
use object_store::path::Path;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Segments checked at once.
const SEGMENTS_AT_ONCE: usize = 4;

impl Database {
    /// Reads everything that any version within reach refers to, and compares it with what was written. Nothing is
    /// changed. `progress` is told what is being looked at.
    pub async fn verify(&self, progress: &(dyn Fn(&str) + Sync)) -> VerifyReport {
        let mut report = VerifyReport::default();
        if let Err(error) = format::check(&self.inner.env).await {
            report.findings.push(finding(&Path::from("volley.vfm"), &error));
        }
        report.files += 1;
        progress("catalog");
        let mut named = BTreeSet::new();
        let catalog = &self.inner.catalog.log;
        verify_log(catalog, &mut report, |state| named.extend(state.snapshot.tables())).await;
        // Only tables of the newest names must be there; the directories of others are looked at while they last.
        let names = match self.inner.catalog.snapshot().await {
            Ok(snapshot) => snapshot.tables().collect(),
            Err(_) => BTreeSet::new(),
        };
        let directories = match self.table_directories().await {
            Ok(directories) => directories.into_iter().collect(),
            Err(error) => {
                report.findings.push(finding(&Path::from("tables"), &error));
                BTreeSet::new()
            }
        };
        for table in &names - &directories {
            report.findings.push(Finding::new(table_root(table), "the directory of a table is missing"));
        }
        for table in directories {
            // A power cut while a table is created leaves directories without a commit. Nobody was told of that table,
            // and the garbage collector removes it.
            let commits = self.table(table).log.files.list("log").await;
            if !names.contains(&table) && commits.is_ok_and(|commits| commits.is_empty()) {
                continue;
            }
            progress(&format!("table {table}"));
            self.verify_table(table, progress, &mut report).await;
        }
        report
    }

    async fn verify_table(&self, table: TableId, progress: &(dyn Fn(&str) + Sync), report: &mut VerifyReport) {
        // A log object of its own, so that nothing is believed because this process has seen it before.
        let log: Log<TableState> = Log::new(self.table(table).log.files.clone(), table);
        let mut segments: BTreeMap<SegmentId, Arc<Segment>> = BTreeMap::new();
        let mut vectors: BTreeMap<String, FileRef> = BTreeMap::new();
        verify_log(&log, report, |state| {
            for segment in &state.snapshot.segments {
                if let Deletes::File { file, .. } = &segment.deletes {
                    vectors.insert(file.path.clone(), file.clone());
                }
                segments.insert(segment.id, segment.clone());
            }
        })
        .await;
        progress(&format!("table {table}: {} segments", segments.len()));
        // The newest deletion vector is checked with its segment, older ones by length and checksum.
        for segment in segments.values() {
            if let Deletes::File { file, .. } = &segment.deletes {
                vectors.remove(&file.path);
            }
        }
        // Past the copies on this machine: it is the store's files that are checked.
        let files = &FileCache::new(Env { disk_cache: None, ..self.inner.env.clone() });
        for file in vectors.values() {
            let path = file_path(table, file);
            report.files += 1;
            report.bytes += file.length;
            if let Err(error) = files.recheck(&path, file).await {
                report.findings.push(finding(&path, &error));
            }
        }
        for segment in segments.values() {
            for file in verify::files_of(segment) {
                report.files += 1;
                report.bytes += file.length;
            }
        }
        let mut checks = stream::iter(segments.into_values())
            .map(|segment| async move { verify::segment(files, table, &segment).await })
            .buffered(SEGMENTS_AT_ONCE);
        while let Some(findings) = checks.next().await {
            report.findings.extend(findings);
        }
    }
}

/// Reads a log from its floor to its end, and its checkpoints; shows every state on the way.
async fn verify_log<S: LogState>(log: &Log<S>, report: &mut VerifyReport, mut visit: impl FnMut(&S)) {
    let root = log.files.root.clone();
    let listed = async {
        let floor = log.floor().await?;
        Ok::<_, Error>((floor, log.files.list("log").await?, log.files.list("ckpt").await?))
    };
    let (floor, commits, checkpoints) = match listed.await {
        Ok(listed) => listed,
        Err(error) => return report.findings.push(finding(&root, &error)),
    };
    let mut hashes = BTreeMap::new();
    let walked = log
        .walk(floor, |head| {
            hashes.insert(head.version, head.hash);
            visit(&head.state);
        })
        .await;
    for (version, file) in commits.iter().chain(&checkpoints).filter(|(version, _)| *version >= floor) {
        report.files += 1;
        report.bytes += file.size;
        tracing::trace!(%version, path = %file.location, "verified");
    }
    match walked {
        Ok(newest) => {
            // Commits may have been added since the listing, but none can lie behind a gap.
            if let Some((version, file)) = commits.iter().find(|(version, _)| *version > newest) {
                let fault = format!("commit {} before it is missing", Version(version.0 - 1));
                report.findings.push(Finding::new(&file.location, fault));
            }
        }
        Err(error) => report.findings.push(finding(&root, &error)),
    }
    for (version, file) in checkpoints.iter().filter(|(version, _)| *version >= floor) {
        match checkpoint_fault(log, *version, hashes.get(version)).await {
            Ok(None) => {}
            Ok(Some(fault)) => report.findings.push(Finding::new(&file.location, fault)),
            Err(error) => report.findings.push(finding(&file.location, &error)),
        }
    }
}

async fn checkpoint_fault<S: LogState>(
    log: &Log<S>,
    version: Version,
    hash: Option<&[u8; 32]>,
) -> Result<Option<String>> {
    let Some(checkpoint) = log.read_checkpoint(version).await? else { return Ok(Some("it is missing".into())) };
    // Without the hash of its commit the log itself is broken there, which has been said.
    Ok(hash.filter(|hash| **hash != checkpoint.hash).map(|_| "it is not a checkpoint of this log".into()))
}

/// What an error says about a file, under the name that the error gives it.
fn finding(path: &Path, error: &Error) -> Finding {
    match error {
        Error::Corrupted { path, detail } | Error::NewerFormat { path, detail } => Finding::new(path, detail),
        other => Finding::new(path, other),
    }
}
