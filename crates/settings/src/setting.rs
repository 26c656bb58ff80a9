//! One parser of text per type, whatever the text came from: a file, the environment or a flag.

use std::cmp::Ordering;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::yaml::{Kind, Node};

/// What would have been accepted, for the message that refuses a value: `a duration such as 15m`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected(pub String);

impl<T: Into<String>> From<T> for Expected {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

/// A type that a key can have.
pub trait Setting: Sized + Clone + Send + Sync + 'static {
    /// What the type is called in help and documentation: one word, such as `duration`.
    const TYPE: &'static str;

    /// Whether values are hidden when configuration is shown.
    const SECRET: bool = false;

    /// The value that `text` means, or what would be right.
    fn parse(text: &str) -> Result<Self, Expected>;

    /// The value as text that [`Self::parse`] reads back.
    fn print(&self) -> String;

    /// The value that a node of a YAML file means, or what would be right. A single value unless overridden.
    fn from_node(node: &Node) -> Result<Self, Expected> {
        match &node.kind {
            Kind::Scalar { text, .. } if !node.is_null() => Self::parse(text),
            _ => Err(Expected(format!("{}, not {}", with_article(Self::TYPE), node.describe()))),
        }
    }

    /// The words that are accepted, where they can be listed.
    fn choices() -> &'static [&'static str] {
        &[]
    }

    /// Order, for types whose range can be bounded.
    fn compare(&self, _other: &Self) -> Option<Ordering> {
        None
    }
}

/// `a duration`, `an integer`.
pub(crate) fn with_article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {noun}")
}

macro_rules! numbers {
    ($($type:ty, $name:literal, $expected:literal;)+) => {$(
        impl Setting for $type {
            const TYPE: &'static str = $name;

            fn parse(text: &str) -> Result<Self, Expected> {
                text.parse().map_err(|_| Expected(format!("{} from {} to {}", $expected, Self::MIN, Self::MAX)))
            }

            fn print(&self) -> String {
                self.to_string()
            }

            fn compare(&self, other: &Self) -> Option<Ordering> {
                self.partial_cmp(other)
            }
        }
    )+};
}

numbers! {
    u8, "integer", "a whole number";
    u16, "integer", "a whole number";
    u32, "integer", "a whole number";
    u64, "integer", "a whole number";
    usize, "integer", "a whole number";
    i32, "integer", "a whole number";
    i64, "integer", "a whole number";
}

impl Setting for f64 {
    const TYPE: &'static str = "number";

    fn parse(text: &str) -> Result<Self, Expected> {
        match text.parse::<Self>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err("a number such as 0.5 or 1e6".into()),
        }
    }

    fn print(&self) -> String {
        self.to_string()
    }

    fn compare(&self, other: &Self) -> Option<Ordering> {
        self.partial_cmp(other)
    }
}

impl Setting for bool {
    const TYPE: &'static str = "boolean";

    fn parse(text: &str) -> Result<Self, Expected> {
        match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("true or false".into()),
        }
    }

    fn print(&self) -> String {
        self.to_string()
    }
}

impl Setting for String {
    const TYPE: &'static str = "text";

    fn parse(text: &str) -> Result<Self, Expected> {
        Ok(text.to_owned())
    }

    fn print(&self) -> String {
        self.clone()
    }
}

impl Setting for PathBuf {
    const TYPE: &'static str = "path";

    fn parse(text: &str) -> Result<Self, Expected> {
        if text.is_empty() { Err("a path".into()) } else { Ok(text.into()) }
    }

    fn print(&self) -> String {
        self.to_string_lossy().into_owned()
    }
}

impl Setting for SocketAddr {
    const TYPE: &'static str = "address";

    fn parse(text: &str) -> Result<Self, Expected> {
        let expected = "an IP address and port such as 127.0.0.1:9009, 0.0.0.0:9009 or [::1]:9009";
        // A host left out means every interface, as `:9009` does for Prometheus.
        let full = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
        full.parse().map_err(|_| expected.into())
    }

    fn print(&self) -> String {
        self.to_string()
    }
}

impl Setting for Duration {
    const TYPE: &'static str = "duration";

    fn parse(text: &str) -> Result<Self, Expected> {
        crate::duration::parse(text).ok_or_else(|| "a duration such as 500ms, 15m, 1h30m or 2d".into())
    }

    fn print(&self) -> String {
        crate::duration::print(*self)
    }

    fn compare(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A list: items separated by commas in text, or a YAML list.
impl<T: Setting> Setting for Vec<T> {
    const TYPE: &'static str = "list";
    const SECRET: bool = T::SECRET;

    fn parse(text: &str) -> Result<Self, Expected> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        items.map(|item| T::parse(item).map_err(|expected| in_list(item, &expected))).collect()
    }

    fn print(&self) -> String {
        self.iter().map(T::print).collect::<Vec<_>>().join(",")
    }

    fn from_node(node: &Node) -> Result<Self, Expected> {
        match &node.kind {
            _ if node.is_null() => Ok(Self::new()),
            Kind::Scalar { text, .. } => Self::parse(text),
            Kind::Sequence(items) => items.iter().map(T::from_node).collect(),
            Kind::Mapping(_) => Err("a list, or items separated by commas, not a mapping".into()),
        }
    }

    fn choices() -> &'static [&'static str] {
        T::choices()
    }
}

fn in_list(item: &str, expected: &Expected) -> Expected {
    Expected(format!("{} in place of {item:?}", expected.0))
}

/// A value that may be absent: empty text, or nothing after the colon.
impl<T: Setting> Setting for Option<T> {
    const TYPE: &'static str = T::TYPE;
    const SECRET: bool = T::SECRET;

    fn parse(text: &str) -> Result<Self, Expected> {
        if text.is_empty() { Ok(None) } else { T::parse(text).map(Some) }
    }

    fn print(&self) -> String {
        self.as_ref().map(T::print).unwrap_or_default()
    }

    fn from_node(node: &Node) -> Result<Self, Expected> {
        match &node.kind {
            Kind::Scalar { text, .. } if text.is_empty() || node.is_null() => Ok(None),
            _ => T::from_node(node).map(Some),
        }
    }

    fn choices() -> &'static [&'static str] {
        T::choices()
    }

    fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Some(a), Some(b)) => a.compare(b),
            // Absent lies in every range.
            _ => Some(Ordering::Equal),
        }
    }
}
