//! A spinner for work that takes long, on a terminal only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use volley::Progressed;

use crate::output::grouped;

/// Work shorter than this shows nothing: a flicker tells nobody anything.
pub(crate) const APPEARS_AFTER: Duration = Duration::from_millis(500);

pub(crate) const REDRAWN_EVERY: Duration = Duration::from_millis(100);

/// A spinner with the elapsed time and what the work says about itself. Cheap to clone; hidden until [`Progress::appear`].
#[derive(Debug, Clone)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A hidden spinner whose clock runs.
    pub(crate) fn hidden() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}") {
            bar.set_style(style);
        }
        Progress(bar)
    }

    /// Shows the spinner on standard error, unless it was cleared.
    pub(crate) fn appear(&self) {
        if !self.0.is_finished() {
            self.0.set_draw_target(ProgressDrawTarget::stderr());
            self.0.enable_steady_tick(REDRAWN_EVERY);
        }
    }

    /// Counts rows.
    pub(crate) fn rows(&self, rows: u64) {
        self.0.inc(rows);
        self.0.set_message(format!("{} rows so far", grouped(self.0.position())));
    }

    /// Says what is being done.
    pub(crate) fn say(&self, what: &str) {
        self.0.set_message(what.to_owned());
    }

    /// Says how far a statement is.
    pub(crate) fn report(&self, now: &Progressed) {
        self.say(&match now.total {
            0 => now.what.clone(),
            total => format!("{}: {} of {} rows", now.what, grouped(now.done), grouped(total)),
        });
    }

    /// Removes the spinner for good.
    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}
