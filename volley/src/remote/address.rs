//! `grpc://user:password@host:port`, taken apart.

use std::fmt;
use std::path::PathBuf;

use volley::ErrorKind;

use crate::failure::Failure;

/// The port of Flight SQL.
const PORT: u16 = 32010;

/// A server and how to reach it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// A name or an address; one of IPv6 in brackets.
    pub(crate) host: String,
    /// The port.
    pub(crate) port: u16,
    /// Whether the connection is encrypted.
    pub(crate) tls: bool,
    /// Who logs in.
    pub(crate) user: Option<String>,
    /// With which password.
    pub(crate) password: Option<String>,
    /// The authorities of the server's certificate, PEM; those of the system when `None`.
    pub(crate) ca: Option<PathBuf>,
    /// The client's own certificate and key, PEM.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

/// Without the password: addresses stand in messages.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "grpc+tls" } else { "grpc" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Address {
    /// Whether the scheme names a server.
    pub(crate) fn has_scheme(scheme: &str) -> bool {
        matches!(scheme, "grpc" | "grpc+tcp" | "grpc+tls")
    }

    /// Takes apart what follows `scheme://`. No message repeats the text, because a password may stand in it.
    pub(crate) fn parse(scheme: &str, rest: &str) -> Result<Self, Failure> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, rest),
        };
        let (user, password) = match login {
            Some(login) => {
                let (user, password) = login.split_once(':').map_or((login, None), |(u, p)| (u, Some(p)));
                (Some(decoded(user)?), password.map(decoded).transpose()?)
            }
            None => (None, None),
        };
        if user.as_deref() == Some("") {
            return Err(refused("the address has a @ but no user before it"));
        }
        let (host, port) = host_and_port(place)?;
        let mut address = Self { host, port, tls: scheme == "grpc+tls", user, password, ca: None, identity: None };
        address.set_files(query)?;
        Ok(address)
    }

    /// `ca=FILE`, `certificate=FILE`, `key=FILE`.
    fn set_files(&mut self, query: &str) -> Result<(), Failure> {
        let (mut certificate, mut key) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let file = Some(PathBuf::from(decoded(value)?)).filter(|file| !file.as_os_str().is_empty());
            match name {
                "ca" => self.ca = file,
                "certificate" => certificate = file,
                "key" => key = file,
                _ => return Err(refused("an address takes ca, certificate and key behind the ?, and nothing else")),
            }
        }
        self.identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(refused("a client's certificate and its key go together: give both or neither")),
        };
        match self.tls || (self.ca.is_none() && self.identity.is_none()) {
            true => Ok(()),
            false => Err(refused("certificates are for encrypted connections: write grpc+tls://")),
        }
    }
}

fn host_and_port(place: &str) -> Result<(String, u16), Failure> {
    let wrong = || refused("a server is written grpc://host:port or grpc://user@host:port");
    // The colons of an IPv6 address stand in brackets.
    let after_brackets = place.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match place[after_brackets..].rfind(':') {
        Some(at) => {
            let at = after_brackets + at;
            (&place[..at], place[at + 1..].parse().map_err(|_| wrong())?)
        }
        None => (place, PORT),
    };
    let bracketed = host.starts_with('[') && host.ends_with(']') && host.len() > 2;
    let plain = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    match bracketed || plain {
        true => Ok((host.to_owned(), port)),
        false => Err(wrong()),
    }
}

/// `%40` is `@`, and so on.
fn decoded(text: &str) -> Result<String, Failure> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte != b'%' {
            bytes.push(byte);
            rest = tail;
            continue;
        }
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or_else(|| refused("a percent sign in an address is written %25"))?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|_| refused("the address is not UTF-8"))
}

fn refused(sentence: &str) -> Failure {
    Failure::Refused { kind: ErrorKind::InvalidValue, sentence: sentence.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let parse = |rest: &str| Address::parse("grpc", rest).expect(rest);
        let address = parse("localhost");
        assert_eq!((address.host.as_str(), address.port, address.tls), ("localhost", 32010, false));
        let address = parse("ann:p%40ss%3A%2F@db.example:1/");
        assert_eq!((address.user.as_deref(), address.password.as_deref()), (Some("ann"), Some("p@ss:/")));
        assert_eq!((address.host.as_str(), address.port), ("db.example", 1));
        assert_eq!(format!("{address} {address:?}"), "grpc://db.example:1 grpc://db.example:1");
        let address = parse("ann@[::1]:7");
        assert_eq!((address.host.as_str(), address.port, address.password), ("[::1]", 7, None));
        assert_eq!(parse("[::1]").port, 32010);
        let address = Address::parse("grpc+tls", "h?ca=/a%20b.pem&certificate=c&key=k").expect("files");
        assert_eq!(address.ca, Some("/a b.pem".into()));
        assert_eq!(address.identity, Some(("c".into(), "k".into())));
        assert_eq!(address.to_string(), "grpc+tls://h:32010");
    }

    #[test]
    fn wrong_addresses_are_refused_without_their_password() {
        for rest in ["", ":1", "h:port", "h:99999", "a b", "@h", "u:secret@", "u:secret%zz@h", "u:%ff@h", "[]:1", "h/x"]
            .into_iter()
            .chain(["h?ca=x", "u:secret@h?secret=1"])
        {
            let failure = Address::parse("grpc", rest).expect_err(rest).to_string();
            assert!(!failure.contains("secret") && !failure.contains('\n'), "{failure}");
        }
        assert!(Address::parse("grpc+tls", "h?key=k").is_err());
    }
}
