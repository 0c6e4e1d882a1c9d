//! The values that options take, and how each is written: sizes, times, lists of directories.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A value of an option, as text: the same on the command line, in the environment and in the file.
pub trait Value: Sized + Clone + Send + Sync + 'static {
    /// What such a value looks like, for messages: `a size such as 64MB`.
    const FORM: &'static str;

    /// Reads the value; `None` where the text is none.
    fn from_text(text: &str) -> Option<Self>;

    /// Reads a list as the file may write it. Few options take one.
    fn from_list(_items: &[&str]) -> Option<Self> {
        None
    }

    /// The value as the file would have it.
    fn to_toml(&self) -> String;
}

/// Reads a value; the error is a sentence.
pub fn parse<T: Value>(text: &str) -> Result<T, String> {
    T::from_text(text.trim()).ok_or_else(|| format!("\"{text}\" is not {}", T::FORM))
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

impl Value for String {
    const FORM: &'static str = "a text";

    fn from_text(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn to_toml(&self) -> String {
        quoted(self)
    }
}

impl Value for PathBuf {
    const FORM: &'static str = "a path";

    fn from_text(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.into())
    }

    fn to_toml(&self) -> String {
        quoted(&self.display().to_string())
    }
}

impl Value for bool {
    const FORM: &'static str = "true or false";

    fn from_text(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => Some(true),
            "false" | "off" | "no" | "0" => Some(false),
            _ => None,
        }
    }

    fn to_toml(&self) -> String {
        self.to_string()
    }
}

impl Value for u64 {
    const FORM: &'static str = "a whole number";

    fn from_text(text: &str) -> Option<Self> {
        text.replace('_', "").parse().ok()
    }

    fn to_toml(&self) -> String {
        self.to_string()
    }
}

/// A number of threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threads(pub usize);

impl Value for Threads {
    const FORM: &'static str = "a number of threads from 1 to 1024";

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok().filter(|threads| (1..=1024).contains(threads)).map(Threads)
    }

    fn to_toml(&self) -> String {
        self.0.to_string()
    }
}

/// Bytes, with an optional unit: `1048576`, `512MB`, `8GiB`, `2g`. Units are powers of 1024, whatever their spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub usize);

impl Value for Size {
    const FORM: &'static str = "a size such as 512MB or 8GiB";

    fn from_text(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let shift = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            "t" | "tb" | "tib" => 40,
            _ => return None,
        };
        let bytes = number.parse::<f64>().ok()? * (1u64 << shift) as f64;
        (bytes <= (1u64 << 50) as f64).then_some(Size(bytes as usize))
    }

    fn to_toml(&self) -> String {
        let units = [("GB", 30), ("MB", 20), ("kB", 10)];
        match units.iter().find(|(_, shift)| self.0 >= 1 << shift && self.0.is_multiple_of(1 << shift)) {
            Some((unit, shift)) => quoted(&format!("{}{unit}", self.0 >> shift)),
            None => self.0.to_string(),
        }
    }
}

/// Memory for queries and caches: a size below which no query could run at all is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory(pub usize);

impl Value for Memory {
    const FORM: &'static str = "a size such as 512MB or 8GiB, and no less than 16MB";

    fn from_text(text: &str) -> Option<Self> {
        const LEAST: usize = 16 << 20;
        Size::from_text(text).filter(|size| size.0 >= LEAST).map(|size| Memory(size.0))
    }

    fn to_toml(&self) -> String {
        Size(self.0).to_toml()
    }
}

/// A time with its unit: `500ms`, `10s`, `30min`, `12h`, `7d`; 0 needs none. A bare number is refused, because PostgreSQL
/// reads it as milliseconds and most others as seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period(pub Duration);

impl Value for Period {
    const FORM: &'static str = "a time with its unit, such as 500ms, 10s, 30min or 12h";

    fn from_text(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: f64 = number.parse().ok()?;
        let seconds = match unit.trim().to_ascii_lowercase().as_str() {
            "" if number == 0.0 => 0.0,
            "ms" => number / 1e3,
            "s" | "sec" => number,
            "m" | "min" => number * 60.0,
            "h" => number * 3600.0,
            "d" => number * 86_400.0,
            _ => return None,
        };
        // Longer ones mean "never", for which there is 0.
        const LONGEST: f64 = 3650.0 * 86_400.0;
        (seconds <= LONGEST).then(|| Period(Duration::from_micros((seconds * 1e6).round() as u64)))
    }

    fn to_toml(&self) -> String {
        let ms = self.0.as_millis();
        let units = [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)];
        match units.iter().find(|(_, length)| ms > 0 && ms.is_multiple_of(*length)) {
            Some((unit, length)) => quoted(&format!("{}{unit}", ms / length)),
            None if ms == 0 => "0".to_owned(),
            None => quoted(&format!("{ms}ms")),
        }
    }
}

/// Directories, separated by `:` like those of `PATH`; in the file a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directories(pub Vec<PathBuf>);

impl Value for Directories {
    const FORM: &'static str = "a list of absolute directories, such as /srv/load:/srv/export";

    fn from_text(text: &str) -> Option<Self> {
        let items: Vec<&str> = text.split(':').filter(|item| !item.is_empty()).collect();
        Self::from_list(&items)
    }

    fn from_list(items: &[&str]) -> Option<Self> {
        let paths: Vec<PathBuf> = items.iter().map(PathBuf::from).collect();
        // A relative one would move with the directory in which the server is started.
        paths.iter().all(|path| path.is_absolute()).then_some(Directories(paths))
    }

    fn to_toml(&self) -> String {
        let items: Vec<String> = self.0.iter().map(Value::to_toml).collect();
        format!("[{}]", items.join(", "))
    }
}

/// Addresses of other processes, separated by commas; in the file a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Addresses(pub Vec<String>);

impl Value for Addresses {
    const FORM: &'static str = "a list of addresses with their ports, such as db1:32012,db2:32012";

    fn from_text(text: &str) -> Option<Self> {
        let items: Vec<&str> = text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
        Self::from_list(&items)
    }

    fn from_list(items: &[&str]) -> Option<Self> {
        let has_port = |item: &&str| {
            item.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        items.iter().all(has_port).then(|| Addresses(items.iter().map(|item| (*item).to_owned()).collect()))
    }

    fn to_toml(&self) -> String {
        let items: Vec<String> = self.0.iter().map(|item| quoted(item)).collect();
        format!("[{}]", items.join(", "))
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident: $form:literal, $($(#[$of:meta])* $word:ident = $text:literal,)*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$of])* $word,)* }

        impl Value for $name {
            const FORM: &'static str = $form;

            fn from_text(text: &str) -> Option<Self> {
                match text.to_ascii_lowercase().as_str() { $($text => Some($name::$word),)* _ => None }
            }

            fn to_toml(&self) -> String {
                quoted(&self.to_string())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($name::$word => $text,)* })
            }
        }
    };
}

words! {
    /// How log lines are written.
    LogFormat: "human or json",
    /// For people.
    Human = "human",
    /// One JSON object a line.
    Json = "json",
}

words! {
    /// Which log lines are written: these and the graver ones.
    LogLevel: "error, warn, info, debug or trace",
    /// What failed and needs somebody.
    Error = "error",
    /// What went wrong and was dealt with.
    Warn = "warn",
    /// What a server does in a day: starts, stops, slow queries.
    Info = "info",
    /// Every query.
    Debug = "debug",
    /// Everything.
    Trace = "trace",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse("512MB"), Ok(Memory(512 << 20)));
        assert_eq!(parse("1.5 GiB"), Ok(Memory(3 << 29)));
        assert_eq!(parse("67108864"), Ok(Memory(64 << 20)));
        assert_eq!(parse("1KB"), Ok(Size(1 << 10)));
        for wrong in ["", "MB", "12 parsecs", "-1GB", "1KB", "9e9", "99999999TB"] {
            assert!(parse::<Memory>(wrong).is_err(), "{wrong}");
        }
        for size in [0, 1, 1 << 10, 3 << 20, (3 << 20) + 1, 5 << 30] {
            assert_eq!(parse(Size(size).to_toml().trim_matches('"')), Ok(Size(size)));
        }
    }

    #[test]
    fn times_have_units() {
        for (text, ms) in [("0", 0), ("500ms", 500), ("1.5 s", 1500), ("30min", 1_800_000), ("12H", 43_200_000)] {
            let period = Period(Duration::from_millis(ms));
            assert_eq!(parse(text), Ok(period), "{text}");
            assert_eq!(parse(period.to_toml().trim_matches('"')), Ok(period), "{text}");
        }
        for wrong in ["", "10", "s", "-1s", "1 fortnight", "1e9d", "inf s", "99999d"] {
            assert!(parse::<Period>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn other_values() {
        assert_eq!(parse("/a:/b"), Ok(Directories(vec!["/a".into(), "/b".into()])));
        assert_eq!(parse(""), Ok(Directories::default()));
        assert!(parse::<Directories>("a").is_err());
        assert_eq!(parse("a:1, [::1]:2"), Ok(Addresses(vec!["a:1".into(), "[::1]:2".into()])));
        assert_eq!(parse(""), Ok(Addresses::default()));
        assert!(parse::<Addresses>("a").is_err() && parse::<Addresses>("a:1,:2").is_err());
        assert_eq!(parse("JSON"), Ok(LogFormat::Json));
        assert_eq!(parse::<LogLevel>("loud"), Err("\"loud\" is not error, warn, info, debug or trace".to_owned()));
        assert_eq!(parse("on"), Ok(true));
        assert_eq!(parse("10_000"), Ok(10_000u64));
        assert!(parse::<Threads>("0").is_err() && parse::<Threads>("1025").is_err());
    }
}
