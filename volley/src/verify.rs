//! `volley verify`: the check of a data directory.

use std::sync::Arc;

use volley::{DataLocation, Engine, ErrorKind};

use crate::console::Console;
use crate::failure::Failure;
use crate::output::grouped;
use crate::progress::Progress;

/// Refuses a directory that does not exist: opening would create an empty one and find it in order.
pub(crate) fn must_exist(location: &DataLocation) -> Result<(), Failure> {
    match location {
        DataLocation::Local(path) if !path.is_dir() => Err(Failure::Refused {
            kind: ErrorKind::UndefinedFile,
            sentence: format!("there is no data directory at {}", path.display()),
        }),
        _ => Ok(()),
    }
}

/// What stands on the screen when the directory does not even open: damage is a finding like any other, and it is the last,
/// because without the catalog nobody knows which tables there should be.
pub(crate) fn unopened(failure: Failure, console: &mut Console) -> Result<(), Failure> {
    if failure.kind() != ErrorKind::Corrupted {
        return Err(failure);
    }
    writeln!(console.out(), "WRONG {failure}")?;
    writeln!(console.out(), "checked nothing else: a directory with a damaged catalog cannot be opened")?;
    console.flush()?;
    Err(Failure::Reported)
}

/// Checks everything; prints each finding on a line and what was checked on the last. Fails if anything is wrong.
pub(crate) async fn run(engine: &Engine, console: &mut Console) -> Result<(), Failure> {
    let progress = Progress::hidden();
    if console.out_is_terminal && console.err_is_terminal {
        progress.appear();
    }
    let told = progress.clone();
    let checked = engine.verify(Arc::new(move |path: &str| told.say(path))).await;
    progress.clear();
    let report = checked?;
    for finding in &report.findings {
        writeln!(console.out(), "WRONG {finding}")?;
    }
    let verdict = match report.findings.len() {
        0 => "everything is in order".to_owned(),
        1 => "1 thing is wrong".to_owned(),
        n => format!("{n} things are wrong"),
    };
    writeln!(console.out(), "checked {} files, {} bytes: {verdict}", grouped(report.files), grouped(report.bytes))?;
    console.flush()?;
    match report.is_clean() {
        true => Ok(()),
        false => Err(Failure::Reported),
    }
}
