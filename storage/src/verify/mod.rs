//! Checks of what is at rest, file by file. Every check reads the bytes anew and says what is wrong with which file; one
//! broken file never hides another.

mod contents;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use object_store::path::Path;

use crate::deletion;
use crate::error::Error;
use crate::files::FileCache;
use crate::ids::TableId;
use crate::segment::{Deletes, FileRef, Segment, SegmentData, SidecarKind};
use contents::SegmentBytes;

/// One fault of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file, relative to the data directory.
    pub path: String,
    /// What is wrong with it.
    pub fault: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.fault)
    }
}

impl Finding {
    /// A fault of the file at a path.
    pub fn new(path: impl fmt::Display, fault: impl fmt::Display) -> Self {
        Self { path: path.to_string(), fault: fault.to_string() }
    }

    /// The fault that an error stands for; the path is taken from the error where it names one.
    pub fn from_error(path: &Path, error: &Error) -> Self {
        match error {
            Error::Corrupted { detail, .. } | Error::NewerFormat { detail, .. } => Self::new(path, detail),
            other => Self::new(path, other),
        }
    }
}

/// What a verification saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Files read.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Faults, in the order they were found.
    pub findings: Vec<Finding>,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// Adds what another verification saw.
    pub fn merge(&mut self, other: VerifyReport) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.findings.extend(other.findings);
    }
}

/// The files that a segment consists of.
pub fn files_of(segment: &Segment) -> Vec<&FileRef> {
    let mut files = Vec::new();
    if let SegmentData::File(file) = &segment.data {
        files.push(file);
    }
    files.extend(segment.sidecars.iter().map(|s| &s.file));
    if let Deletes::File { file, .. } = &segment.deletes {
        files.push(file);
    }
    files
}

/// The full path of a table's file.
fn full_path(table: TableId, file: &FileRef) -> Path {
    let start = Path::from_iter(["tables".to_string(), table.to_string()]);
    file.path.split('/').fold(start, |path, part| path.join(part))
}

/// Checks every file of a segment: length and checksum of each; then that the data decodes completely and has the
/// rows, row groups, row ids and statistics that the log says; that vectors and key hashes beside it are those of its
/// rows; and that the deletion vector names rows that exist.
pub async fn segment(files: &FileCache, table: TableId, segment: &Segment) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut sound = Vec::new();
    for file in files_of(segment) {
        let path = full_path(table, file);
        match files.recheck(&path, file).await {
            Ok(()) => sound.push(file),
            Err(error) => findings.push(Finding::from_error(&path, &error)),
        }
    }
    // What a file says is looked at only where its bytes are those that were written.
    let is_sound = |file: &FileRef| sound.contains(&file);
    check_deletes(files, table, segment, is_sound, &mut findings).await;
    let SegmentData::File(data) = &segment.data else {
        check_inline(table, segment, &mut findings);
        return findings;
    };
    if !is_sound(data) {
        return findings;
    }
    let mut bytes = SegmentBytes::new(full_path(table, data));
    match files.open(&bytes.data_path, data).await {
        Ok(held) => bytes.data = Some(held),
        Err(error) => findings.push(Finding::from_error(&bytes.data_path, &error)),
    }
    for sidecar in segment.sidecars.iter().filter(|s| is_sound(&s.file)) {
        let path = full_path(table, &sidecar.file);
        match (files.open(&path, &sidecar.file).await, &sidecar.kind) {
            (Ok(held), SidecarKind::Vectors | SidecarKind::PrimaryKey) => {
                bytes.sidecars.push((sidecar.clone(), path, held))
            }
            (Ok(_), SidecarKind::Index(_)) => {}
            (Err(error), _) => findings.push(Finding::from_error(&path, &error)),
        }
    }
    let (data_path, segment) = (bytes.data_path.clone(), Arc::new(segment.clone()));
    match tokio::task::spawn_blocking(move || bytes.check(&segment)).await {
        Ok(found) => findings.extend(found),
        Err(error) => findings.push(Finding::new(data_path, format!("checking it ended abnormally: {error}"))),
    }
    findings
}

async fn check_deletes(
    files: &FileCache,
    table: TableId,
    segment: &Segment,
    is_sound: impl Fn(&FileRef) -> bool,
    findings: &mut Vec<Finding>,
) {
    let last = match &segment.deletes {
        Deletes::None => return,
        Deletes::Inline(bitmap) => bitmap.max(),
        Deletes::File { file, count } => {
            if !is_sound(file) {
                return;
            }
            let path = full_path(table, file);
            let decoded = match files.open(&path, file).await {
                Ok(bytes) => deletion::decode(path.as_ref(), bytes.as_slice()),
                Err(error) => Err(error),
            };
            match decoded {
                Ok(bitmap) => {
                    if bitmap.len() != *count {
                        let fault = format!("it holds {} rows where the log says {count}", bitmap.len());
                        findings.push(Finding::new(&path, fault));
                    }
                    bitmap.max()
                }
                Err(error) => return findings.push(Finding::from_error(&path, &error)),
            }
        }
    };
    if last.is_some_and(|row| u64::from(row) >= segment.rows) {
        let fault = format!("a deleted row lies beyond its {} rows", segment.rows);
        findings.push(Finding::new(format!("tables/{table}/seg/{}", segment.id), fault));
    }
}

fn check_inline(table: TableId, segment: &Segment, findings: &mut Vec<Finding>) {
    if let SegmentData::Inline(rows) = &segment.data
        && rows.num_rows() as u64 != segment.rows
    {
        let fault = format!("it has {} inline rows where the log says {}", rows.num_rows(), segment.rows);
        findings.push(Finding::new(format!("tables/{table}/seg/{}", segment.id), fault));
    }
}
