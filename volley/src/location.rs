//! What `-d` names.

use volley::{DataLocation, ErrorKind, RemoteUrl};

use crate::failure::Failure;
use crate::remote::Address;

/// Where the password of a server stands if not in its address: what stands in a command line, everybody on the machine
/// can read.
const PASSWORD: &str = "VOLLEY_PASSWORD";

/// A place where statements can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Data that this process opens.
    Data(DataLocation),
    /// A server.
    Server(Address),
}

/// The place that `-d DIR|URL` names. Nothing is touched.
pub(crate) fn parse(text: &str) -> Result<Place, Failure> {
    if text.is_empty() {
        return Err(refused(
            "-d needs a directory, a URL such as s3://bucket/prefix, memory:// or grpc://host:port".to_owned(),
        ));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Ok(Place::Data(DataLocation::Local(text.into())));
    };
    let scheme = scheme.to_ascii_lowercase();
    match scheme.as_str() {
        "memory" if rest.is_empty() => Ok(Place::Data(DataLocation::Memory)),
        "memory" => Err(refused(format!("memory:// takes no name, but \"{rest}\" was given"))),
        "file" if rest.starts_with('/') => Ok(Place::Data(DataLocation::Local(rest.into()))),
        "file" => Err(refused(format!("{text} is not an absolute path; write file:///path or just the path"))),
        _ if Address::has_scheme(&scheme) => {
            let mut address = Address::parse(&scheme, rest)?;
            if address.user.is_some() && address.password.is_none() {
                address.password = std::env::var(PASSWORD).ok();
            }
            Ok(Place::Server(address))
        }
        _ if RemoteUrl::has_scheme(&scheme) => {
            let url = RemoteUrl::parse(text).map_err(volley::Error::from)?;
            Ok(Place::Data(DataLocation::Url(url.to_string())))
        }
        _ => {
            let known = "a directory, memory://, or s3://, gs:// and az:// with a bucket";
            Err(refused(format!("the data is {known}, not {scheme}://")))
        }
    }
}

/// The same for what works on data and not on a server: `verify`, `demo`, `serve`.
pub(crate) fn data(text: &str, command: &str) -> Result<DataLocation, Failure> {
    match parse(text)? {
        Place::Data(location) => Ok(location),
        Place::Server(address) => Err(refused(format!(
            "volley {command} works on a data directory, not on a server such as {address}; run it where the data is"
        ))),
    }
}

fn refused(sentence: String) -> Failure {
    Failure::Refused { kind: ErrorKind::Unsupported, sentence }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn directories_memory_and_object_stores_are_served() {
        let local = |path: &str| Place::Data(DataLocation::Local(Path::new(path).to_owned()));
        assert_eq!(parse("memory://").expect("memory"), Place::Data(DataLocation::Memory));
        assert_eq!(parse("./a").expect("a directory"), local("./a"));
        assert_eq!(parse("file:///srv/a").expect("a directory"), local("/srv/a"));
        let url = |url: &str| Place::Data(DataLocation::Url(url.to_owned()));
        assert_eq!(parse("s3://bucket/a/").expect("an object store"), url("s3://bucket/a"));
        assert_eq!(parse("AZ://container").expect("an object store"), url("az://container"));
    }

    #[test]
    fn servers_have_addresses_but_no_files() {
        assert!(matches!(parse("grpc://host:1"), Ok(Place::Server(address)) if address.port == 1 && !address.tls));
        assert!(matches!(parse("GRPC+TLS://host"), Ok(Place::Server(address)) if address.tls));
        let failure = data("grpc://u:secret@host", "verify").expect_err("no directory").to_string();
        assert!(failure.contains("verify") && !failure.contains("secret"), "{failure}");
    }

    #[test]
    fn other_places_are_refused_in_one_sentence() {
        for text in ["s3://", "s3://key:secret@bucket", "http://host:32010", "ftp://x", "memory://x", "file://x", ""] {
            let failure = parse(text).expect_err(text);
            assert!(!failure.to_string().contains('\n') && !failure.to_string().contains("secret"), "{failure}");
        }
    }
}
