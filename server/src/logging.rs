//! Log lines: on standard error, for people or as JSON, with times in UTC.
//!
//! Statements are logged without their parameters, and nothing that a client sends to prove who it is. What the libraries
//! below say is kept to warnings for the same reason: their detailed lines hold headers, frames and plans.

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::options::values::{LogFormat, LogLevel};

/// What the targets of Volley's own lines begin with.
const OWN: &str = "volley";

/// Sends the process's log lines to standard error. A second call changes nothing.
pub fn start(format: LogFormat, level: LogLevel) {
    let colours = std::io::stderr().is_terminal();
    // Somebody else, such as a test, may have set a subscriber already: theirs stays.
    let _ = tracing::subscriber::set_global_default(subscriber(format, level, colours, std::io::stderr));
}

fn subscriber<W>(format: LogFormat, level: LogLevel, colours: bool, out: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // The timer of both is that of tracing-subscriber: RFC 3339, UTC, microseconds.
    let lines = match format {
        LogFormat::Human => fmt::layer().with_ansi(colours).with_writer(out).boxed(),
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(out).boxed(),
    };
    Box::new(Registry::default().with(lines.with_filter(targets(level))))
}

/// What is logged: Volley's own lines of this level or graver, those of libraries from warnings up.
fn targets(level: LogLevel) -> Targets {
    let own = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new().with_default(own.min(LevelFilter::WARN)).with_target(OWN, own)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, level: LogLevel, work: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        tracing::subscriber::with_default(subscriber(format, level, false, move || writer.clone()), work);
        String::from_utf8(lines.0.lock().clone()).expect("text")
    }

    #[test]
    fn json_lines_are_objects_with_utc_times() {
        let text = logged(LogFormat::Json, LogLevel::Info, || tracing::info!(rows = 3, "a slow statement"));
        let line: serde_json::Value = serde_json::from_str(text.trim()).expect("JSON");
        assert_eq!((&line["message"], &line["rows"]), (&"a slow statement".into(), &3.into()));
        let time = line["timestamp"].as_str().expect("a time");
        assert!(time.ends_with('Z') && time.contains('T'), "{time}");
    }

    #[test]
    fn libraries_say_no_more_than_warnings() {
        let text = logged(LogFormat::Human, LogLevel::Trace, || {
            tracing::debug!("own");
            tracing::debug!(target: "h2::codec", "authorization: Basic c2VjcmV0");
            tracing::warn!(target: "h2::codec", "warned");
        });
        assert!(text.contains("own") && text.contains("warned") && !text.contains("c2VjcmV0"), "{text}");
        let text = logged(LogFormat::Human, LogLevel::Error, || tracing::warn!(target: "h2", "warned"));
        assert_eq!(text, "");
    }
}
