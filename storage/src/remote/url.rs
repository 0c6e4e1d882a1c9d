//! URLs of data directories: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`.

use std::fmt;

use object_store::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// The kind of an object store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    S3,
    Gcs,
    Azure,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Scheme::S3 => "s3",
            Scheme::Gcs => "gs",
            Scheme::Azure => "az",
        }
    }
}

/// A place in an object store. It holds no credentials, so it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteUrl {
    pub(super) scheme: Scheme,
    pub(super) bucket: String,
    pub(super) prefix: Path,
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.bucket)?;
        if self.prefix.as_ref().is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

impl RemoteUrl {
    /// Whether a URL of this scheme names an object store.
    pub fn has_scheme(scheme: &str) -> bool {
        scheme_of(scheme).is_some()
    }

    /// Reads a URL.
    ///
    /// # Errors
    /// Other schemes, missing or impossible buckets, and credentials in the URL, which the error does not repeat.
    pub fn parse(text: &str) -> Result<Self> {
        let refused = |detail: String| Error::Location { kind: ErrorKind::InvalidValue, detail };
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let Some(scheme) = scheme_of(scheme) else {
            return Err(refused(
                "an object store is s3://bucket/prefix, gs://bucket/prefix or az://container/prefix".into(),
            ));
        };
        let name = scheme.name();
        if rest.contains(['@', '?', '#']) {
            let detail = format!(
                "a {name}:// URL is a bucket and a prefix only; credentials and endpoints come from the environment"
            );
            return Err(refused(detail));
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '$');
        if bucket.is_empty() || !bucket.chars().all(fits) {
            return Err(refused(format!("{name}:// needs the name of a bucket, such as {name}://bucket/prefix")));
        }
        let prefix = Path::parse(prefix.trim_matches('/'))
            .map_err(|error| refused(format!("the prefix in a {name}:// URL is no path: {error}")))?;
        Ok(Self { scheme, bucket: bucket.to_owned(), prefix })
    }
}

fn scheme_of(text: &str) -> Option<Scheme> {
    match text.to_ascii_lowercase().as_str() {
        "s3" | "s3a" => Some(Scheme::S3),
        "gs" => Some(Scheme::Gcs),
        "az" | "azure" => Some(Scheme::Azure),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_shown() {
        for (text, shown) in [
            ("s3://bucket/a/b/", "s3://bucket/a/b"),
            ("S3A://bucket", "s3://bucket"),
            ("gs://b.c-d_e/x", "gs://b.c-d_e/x"),
            ("az://container/", "az://container"),
        ] {
            assert_eq!(RemoteUrl::parse(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_place_is_refused_without_its_secrets() {
        for text in ["s3://", "s3:///x", "ftp://b", "bucket", "s3://b/a//b", "s3://b/../c", "gs://b c", ""] {
            let error = RemoteUrl::parse(text).unwrap_err();
            assert!(!error.to_string().contains('\n'), "{error}");
        }
        for text in ["s3://key:secret@bucket/x", "az://c/x?sig=secret", "s3://b/x#secret"] {
            let error = RemoteUrl::parse(text).unwrap_err().to_string();
            assert!(!error.contains("secret") && error.contains("environment"), "{error}");
        }
    }
}
