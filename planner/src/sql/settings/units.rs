//! Sizes and times as people write them.

use std::time::Duration;

const BYTE_UNITS: [(&str, usize); 5] = [("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10), ("B", 1)];

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let at = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    (&text[..at], text[at..].trim())
}

/// A size such as `512MB`, `1.5 GB`, `64KiB` or a number of bytes. Units are powers of 1024, in any case.
pub fn parse_bytes(text: &str) -> Option<usize> {
    let (number, unit) = split_unit(text);
    let unit = unit.to_uppercase().replace("IB", "B");
    let factor = match unit.as_str() {
        "" | "BYTES" => 1,
        "K" | "M" | "G" | "T" => BYTE_UNITS.iter().find(|(name, _)| name.starts_with(&unit))?.1,
        _ => BYTE_UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    match number.parse::<usize>() {
        Ok(number) => number.checked_mul(factor),
        Err(_) => {
            let bytes = number.parse::<f64>().ok()? * factor as f64;
            // Beyond 2^53 a float no longer counts bytes, and no machine has them.
            (bytes.is_finite() && bytes < 9e15).then_some(bytes as usize)
        }
    }
}

/// A size with the largest unit that divides it.
pub fn format_bytes(bytes: usize) -> String {
    let unit = BYTE_UNITS.iter().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor));
    unit.map_or_else(|| format!("{bytes}B"), |(name, factor)| format!("{}{name}", bytes / factor))
}

/// A time such as `30s`, `500ms`, `5min`, `1h` or, as PostgreSQL has it, a number of milliseconds.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text);
    let seconds = match unit.to_lowercase().as_str() {
        "" | "ms" => 0.001,
        "us" => 0.000_001,
        "s" | "sec" => 1.0,
        "min" | "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}
