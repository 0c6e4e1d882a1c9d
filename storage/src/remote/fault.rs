//! The errors of a store's client in one line.
//!
//! The client's own errors repeat what the store sent: pages of XML, with names of keys and what was signed with them. A
//! sentence that a user sees has the status and the store's code for it, and nothing else of that.

use std::error::Error as StdError;

use object_store::Error;
use object_store::client::{HttpError, HttpErrorKind};

/// Characters of a text that was not written for users.
const TEXT_CHARS_MAX: usize = 200;

/// What went wrong with a request.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub(crate) struct StoreFault {
    sentence: String,
    /// The status of the answer; `None` when there was none.
    status: Option<u16>,
    /// Whether the request cannot have reached the store.
    never_sent: bool,
}

/// The same error, with a cause of one line.
pub(super) fn in_one_line(error: Error) -> Error {
    match error {
        Error::Generic { store, source } => Error::Generic { store, source: fault(source) },
        Error::NotFound { path, source } => Error::NotFound { path, source: fault(source) },
        Error::AlreadyExists { path, source } => Error::AlreadyExists { path, source: fault(source) },
        Error::Precondition { path, source } => Error::Precondition { path, source: fault(source) },
        Error::NotModified { path, source } => Error::NotModified { path, source: fault(source) },
        Error::PermissionDenied { path, source } => Error::PermissionDenied { path, source: fault(source) },
        Error::Unauthenticated { path, source } => Error::Unauthenticated { path, source: fault(source) },
        other => other,
    }
}

/// Whether a later try may go better: no answer came, or one that says that the store is busy or failed.
pub(super) fn is_transient(error: &Error) -> bool {
    let Error::Generic { source, .. } = error else { return false };
    let Some(fault) = source.downcast_ref::<StoreFault>() else { return false };
    fault.status.is_none_or(|status| status >= 500 || matches!(status, 408 | 429))
}

/// Whether it is certain that a request never reached the store, so that nothing can have come of it.
pub(crate) fn was_never_sent(error: &Error) -> bool {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(fault) = error.downcast_ref::<StoreFault>() {
            return fault.never_sent;
        }
        cause = error.source();
    }
    false
}

/// The error of a request that was given up.
pub(super) fn silent() -> Error {
    let sentence = "the store does not answer".to_owned();
    Error::Generic { store: "remote", source: Box::new(StoreFault { sentence, status: None, never_sent: false }) }
}

fn fault(source: Box<dyn StdError + Send + Sync>) -> Box<dyn StdError + Send + Sync> {
    if source.is::<StoreFault>() {
        return source;
    }
    let text = source.to_string();
    let (mut kind, mut root) = (None, text.clone());
    let mut cause: Option<&(dyn StdError + 'static)> = Some(source.as_ref());
    while let Some(error) = cause {
        kind = kind.or(error.downcast_ref::<HttpError>().map(HttpError::kind));
        root = error.to_string();
        cause = error.source();
    }
    let status = text.split_once("status code: ").map(|(_, rest)| rest);
    let number = status.and_then(|rest| rest.get(..3)?.parse().ok());
    let sentence = match (status, kind) {
        (Some(rest), _) => {
            let name = rest.split(['\n', '<', ':']).next().unwrap_or_default().trim();
            match between(&text, "<Code>", "</Code>") {
                Some(code) => format!("the store answered {name} ({code})"),
                None => format!("the store answered {name}"),
            }
        }
        (None, Some(HttpErrorKind::Timeout)) => "the store does not answer".to_owned(),
        (None, Some(HttpErrorKind::Connect)) => format!("the store cannot be reached: {}", one_line(&root)),
        (None, Some(_)) => format!("the connection to the store failed: {}", one_line(&root)),
        (None, None) => one_line(&text),
    };
    Box::new(StoreFault { sentence, status: number, never_sent: kind == Some(HttpErrorKind::Connect) })
}

/// The first line of a text, shortened, without markup.
pub(super) fn one_line(text: &str) -> String {
    let line = text.split(['\n', '<']).next().unwrap_or_default().trim();
    line.chars().take(TEXT_CHARS_MAX).collect()
}

/// A code that stands between two marks, if it looks like one.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let code = text.split_once(start)?.1.split_once(end)?.0;
    (code.len() <= 64 && code.bytes().all(|b| b.is_ascii_alphanumeric())).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> Error {
        in_one_line(Error::Generic { store: "S3", source: text.into() })
    }

    #[test]
    fn answers_become_a_status_and_a_code() {
        let busy = generic(
            "Error performing PUT http://h/b/x in 1ms - Server returned non-2xx status code: 503 Service Unavailable: \
             <?xml version=\"1.0\"?>\n<Error><Code>SlowDown</Code><AWSAccessKeyId>AKIASECRET</AWSAccessKeyId></Error>",
        );
        assert_eq!(busy.to_string(), "Generic S3 error: the store answered 503 Service Unavailable (SlowDown)");
        assert!(is_transient(&busy) && !was_never_sent(&busy));
        let refused = generic("Server returned non-2xx status code: 400 Bad Request: <Error><Code>no code!</Code>");
        assert_eq!(refused.to_string(), "Generic S3 error: the store answered 400 Bad Request");
        assert!(!is_transient(&refused));
        assert!(is_transient(&generic("429")) && is_transient(&silent()));
    }

    #[test]
    fn a_refused_connection_was_never_used() {
        let io = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let source = Box::new(HttpError::new(HttpErrorKind::Connect, io));
        let error = in_one_line(Error::Generic { store: "S3", source });
        assert!(is_transient(&error) && was_never_sent(&error), "{error}");
        assert!(error.to_string().contains("cannot be reached: connection refused"), "{error}");
        assert!(!was_never_sent(&generic("x")));
    }

    #[test]
    fn what_is_known_stays_known() {
        let missing = in_one_line(Error::NotFound { path: "a".into(), source: "404\n<xml>".into() });
        assert!(matches!(missing, Error::NotFound { .. }) && !is_transient(&missing));
        assert!(!missing.to_string().contains('\n'));
    }
}
