//! Types of settings that the standard library lacks: sizes in bytes, secrets, and structured values.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use model::TenantId;
use serde::de::DeserializeOwned;

use crate::setting::{Expected, Setting};
use crate::yaml::{self, Node};

/// A number of bytes: `1048576`, `512KiB`, `64MiB`, `1GB`. Units with an `i` are powers of 1,024, others of 1,000.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

impl ByteSize {
    /// The number of bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// The number of bytes for lengths in memory; the largest such number where it does not fit.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Setting for ByteSize {
    const TYPE: &'static str = "size";

    fn parse(text: &str) -> Result<Self, Expected> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor = match unit {
            "" => Some(1),
            unit => SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, factor)| *factor),
        };
        let bytes =
            number.parse::<u64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
        bytes.map(Self).ok_or_else(|| "a size in bytes such as 1048576, 512KiB, 64MiB or 1GB".into())
    }

    fn print(&self) -> String {
        self.to_string()
    }

    fn compare(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = SIZES
            .iter()
            .find(|(unit, factor)| unit.len() == 3 && self.0 >= *factor && self.0.is_multiple_of(*factor));
        match exact {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Setting for TenantId {
    const TYPE: &'static str = "tenant";

    fn parse(text: &str) -> Result<Self, Expected> {
        Self::new(text).map_err(|error| Expected(format!("a tenant ID; {error}")))
    }

    fn print(&self) -> String {
        self.as_str().to_owned()
    }
}

/// A text that is never shown: a password, a token.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

impl Setting for Secret {
    const TYPE: &'static str = "secret";
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<Self, Expected> {
        Ok(Self(text.into()))
    }

    fn print(&self) -> String {
        self.0.as_ref().to_owned()
    }
}

/// A structured value: anything that serde reads, in a file as YAML, elsewhere as YAML or JSON in one line.
///
/// Reads like the value inside, which is shared: clones are cheap.
pub struct Nested<T> {
    value: Arc<T>,
    text: Arc<str>,
}

impl<T> Clone for Nested<T> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), text: Arc::clone(&self.text) }
    }
}

impl<T> Deref for Nested<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Nested<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: PartialEq> PartialEq for Nested<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Setting for Nested<T> {
    const TYPE: &'static str = "structure";

    fn parse(text: &str) -> Result<Self, Expected> {
        match yaml::parse("value", text) {
            Ok(Some(node)) => Self::from_node(&node),
            Ok(None) => Err("a structure in YAML or JSON".into()),
            Err(problem) => Err(Expected(format!("a structure in YAML or JSON ({problem})"))),
        }
    }

    fn print(&self) -> String {
        self.text.as_ref().to_owned()
    }

    fn from_node(node: &Node) -> Result<Self, Expected> {
        let json = node.to_json();
        let text = json.to_string().into();
        match serde_json::from_value(json) {
            Ok(value) => Ok(Self { value: Arc::new(value), text }),
            Err(error) => Err(Expected(format!("another structure: {error}"))),
        }
    }
}
