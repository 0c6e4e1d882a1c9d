//! What `-d` names.

use volley::{DataLocation, ErrorKind};

use crate::failure::Failure;

/// The location that `-d DIR|URL` names. Nothing is touched.
pub(crate) fn parse(text: &str) -> Result<DataLocation, Failure> {
    if text.is_empty() {
        return Err(refused("-d needs a directory or memory://".to_owned()));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Ok(DataLocation::Local(text.into()));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "memory" if rest.is_empty() => Ok(DataLocation::Memory),
        "memory" => Err(refused(format!("memory:// takes no name, but \"{rest}\" was given"))),
        "file" if rest.starts_with('/') => Ok(DataLocation::Local(rest.into())),
        "file" => Err(refused(format!("{text} is not an absolute path; write file:///path or just the path"))),
        _ => Err(refused(format!("this build serves directories and memory:// only, not {scheme}://"))),
    }
}

fn refused(sentence: String) -> Failure {
    Failure::Refused { kind: ErrorKind::Unsupported, sentence }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_and_memory_are_served() {
        assert!(matches!(parse("memory://"), Ok(DataLocation::Memory)));
        assert!(matches!(parse("./a"), Ok(DataLocation::Local(path)) if path == std::path::Path::new("./a")));
        assert!(
            matches!(parse("file:///srv/a"), Ok(DataLocation::Local(path)) if path == std::path::Path::new("/srv/a"))
        );
    }

    #[test]
    fn other_places_are_refused_in_one_sentence() {
        for text in ["s3://bucket/path", "gs://b", "az://b", "grpc://host:32010", "memory://x", "file://x", ""] {
            let failure = parse(text).expect_err(text);
            assert!(!failure.to_string().contains('\n'), "{failure}");
        }
    }
}
