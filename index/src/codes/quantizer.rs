//! The encodings and their names.

use std::{fmt, str::FromStr};

use crate::Error;

/// How the components of vectors are encoded for navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quantizer {
    /// Not at all: the vectors are their own codes.
    F32,
    /// IEEE half precision, with one power of two for all rows where they need it.
    F16,
    /// Signed bytes, with a scale per row.
    I8,
}

impl Quantizer {
    /// Every encoding, in the order of their declaration.
    pub const ALL: [Quantizer; 3] = [Quantizer::F32, Quantizer::F16, Quantizer::I8];

    /// The name that [`FromStr`] reads and plans show.
    pub fn name(self) -> &'static str {
        match self {
            Quantizer::F32 => "f32",
            Quantizer::F16 => "f16",
            Quantizer::I8 => "i8",
        }
    }
}

impl fmt::Display for Quantizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Quantizer {
    type Err = Error;

    /// Reads a name as [`Quantizer::name`] writes it, in either case.
    fn from_str(name: &str) -> Result<Self, Error> {
        Quantizer::ALL
            .into_iter()
            .find(|quantizer| quantizer.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| Error::UnknownQuantizer { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for quantizer in Quantizer::ALL {
            assert_eq!(quantizer.to_string().parse(), Ok(quantizer));
            assert_eq!(quantizer.name().to_uppercase().parse(), Ok(quantizer));
        }
        assert_eq!("i4".parse::<Quantizer>(), Err(Error::UnknownQuantizer { name: "i4".into() }));
        assert!("".parse::<Quantizer>().is_err());
    }
}
