//! From YAML nodes to values, as strictly as upstream: what is not known is refused, with upstream's words and its place.

use std::collections::BTreeMap;
use std::time::Duration;

use settings::yaml::{Kind, Node};

use super::show::Shown;

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn at(node: &Node, message: impl Into<String>) -> Self {
        Self { line: node.line, column: node.column, message: message.into() }
    }
}

/// A value of the configuration.
pub(crate) trait Decode: Sized {
    /// Reads it. Null comes only where a list has it: elsewhere it is as if nothing stood there.
    fn decode(node: &Node) -> Result<Self, Problem>;

    /// As it is shown; `None` where upstream leaves it out.
    fn show(&self) -> Option<Shown>;
}

/// The fields of a mapping, each to be taken once.
pub(crate) struct Fields<'a> {
    type_name: &'static str,
    left: Vec<(&'a settings::yaml::Key, &'a Node)>,
}

impl<'a> Fields<'a> {
    /// The fields of a mapping; null has none. `type_name` is upstream's, for messages.
    pub(crate) fn of(node: &'a Node, type_name: &'static str) -> Result<Self, Problem> {
        match &node.kind {
            Kind::Mapping(entries) => {
                Ok(Self { type_name, left: entries.iter().map(|(key, value)| (key, value)).collect() })
            }
            _ if node.is_null() => Ok(Self { type_name, left: Vec::new() }),
            _ => Err(mismatch(node, type_name)),
        }
    }

    /// The value of a field, if it stands there and is not null.
    pub(crate) fn take(&mut self, name: &str) -> Option<&'a Node> {
        let index = self.left.iter().position(|(key, _)| key.text == name)?;
        let (_, node) = self.left.swap_remove(index);
        (!node.is_null()).then_some(node)
    }

    /// Refuses what was not taken.
    pub(crate) fn end(self) -> Result<(), Problem> {
        match self.left.iter().min_by_key(|(key, _)| (key.line, key.column)) {
            None => Ok(()),
            Some((key, _)) => Err(Problem {
                line: key.line,
                column: key.column,
                message: format!(
                    "yaml: unmarshal errors:\n  line {}: field {} not found in type {}",
                    key.line, key.text, self.type_name
                ),
            }),
        }
    }
}

/// A value of the wrong kind.
pub(crate) fn mismatch(node: &Node, type_name: &str) -> Problem {
    let (kind, shown) = match &node.kind {
        Kind::Mapping(_) => ("map", String::new()),
        Kind::Sequence(_) => ("seq", String::new()),
        Kind::Scalar { text, .. } => {
            // As much as upstream shows.
            let cut: String = text.chars().take(10).collect();
            let dots = if cut.len() < text.len() { "..." } else { "" };
            ("str", format!(" `{cut}{dots}`"))
        }
    };
    let line = node.line;
    Problem::at(
        node,
        format!("yaml: unmarshal errors:\n  line {line}: cannot unmarshal !!{kind}{shown} into {type_name}"),
    )
}

/// A single value as text; null is empty.
pub(crate) fn text(node: &Node) -> Result<String, Problem> {
    match node.scalar() {
        Some(_) if node.is_null() => Ok(String::new()),
        Some(text) => Ok(text.to_owned()),
        None => Err(mismatch(node, "string")),
    }
}

/// A list, each item read by `read`; null is an empty one.
pub(crate) fn list<T>(node: &Node, read: impl Fn(&Node) -> Result<T, Problem>) -> Result<Vec<T>, Problem> {
    match &node.kind {
        Kind::Sequence(items) => items.iter().map(read).collect(),
        _ if node.is_null() => Ok(Vec::new()),
        Kind::Scalar { .. } => Err(mismatch(node, "[]string")),
        Kind::Mapping(_) => Err(mismatch(node, "[]")),
    }
}

/// A mapping, keys in the order of the file.
pub(crate) fn entries(node: &Node) -> Result<Vec<(&str, &Node)>, Problem> {
    match &node.kind {
        Kind::Mapping(entries) => Ok(entries.iter().map(|(key, value)| (key.text.as_str(), value)).collect()),
        _ if node.is_null() => Ok(Vec::new()),
        _ => Err(mismatch(node, "map[string]string")),
    }
}

impl Decode for String {
    fn decode(node: &Node) -> Result<Self, Problem> {
        text(node)
    }

    fn show(&self) -> Option<Shown> {
        (!self.is_empty()).then(|| Shown::Text(self.clone()))
    }
}

impl Decode for bool {
    fn decode(node: &Node) -> Result<Self, Problem> {
        match node.scalar().map(str::to_lowercase).as_deref() {
            Some("true" | "yes" | "on" | "y") => Ok(true),
            Some("false" | "no" | "off" | "n") => Ok(false),
            _ => Err(mismatch(node, "bool")),
        }
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::Plain(self.to_string()))
    }
}

macro_rules! whole_numbers {
    ($($type:ty as $name:literal),*) => {
        $(impl Decode for $type {
            fn decode(node: &Node) -> Result<Self, Problem> {
                node.scalar().and_then(|text| text.parse().ok()).ok_or_else(|| mismatch(node, $name))
            }

            fn show(&self) -> Option<Shown> {
                Some(Shown::Plain(self.to_string()))
            }
        })*
    };
}
whole_numbers!(i64 as "int", u64 as "uint64");

impl Decode for f64 {
    fn decode(node: &Node) -> Result<Self, Problem> {
        node.scalar().and_then(|text| text.parse().ok()).ok_or_else(|| mismatch(node, "float64"))
    }

    fn show(&self) -> Option<Shown> {
        (*self != 0.0).then(|| Shown::Plain(gotemplate::format_float(*self, 'g', None)))
    }
}

/// A duration as Prometheus writes it: `1h30m`.
impl Decode for Duration {
    fn decode(node: &Node) -> Result<Self, Problem> {
        let text = text(node)?;
        if text.is_empty() {
            return Err(Problem::at(node, "empty duration string"));
        }
        settings::duration::parse(&text).ok_or_else(|| {
            Problem::at(node, format!("not a valid duration string: {}", gotemplate::quote(&text)))
        })
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::Plain(settings::duration::print(*self)))
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(node: &Node) -> Result<Self, Problem> {
        if node.is_null() { Ok(None) } else { T::decode(node).map(Some) }
    }

    fn show(&self) -> Option<Shown> {
        self.as_ref().and_then(T::show)
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(node: &Node) -> Result<Self, Problem> {
        list(node, T::decode)
    }

    fn show(&self) -> Option<Shown> {
        let items: Vec<Shown> = self.iter().map(|item| item.show().unwrap_or(Shown::empty())).collect();
        (!items.is_empty()).then_some(Shown::List(items))
    }
}

impl<T: Decode> Decode for BTreeMap<String, T> {
    fn decode(node: &Node) -> Result<Self, Problem> {
        entries(node)?.into_iter().map(|(key, value)| Ok((key.to_owned(), T::decode(value)?))).collect()
    }

    fn show(&self) -> Option<Shown> {
        let entries: Vec<(String, Shown)> =
            self.iter().map(|(key, value)| (key.clone(), value.show().unwrap_or(Shown::empty()))).collect();
        (!entries.is_empty()).then_some(Shown::Map(entries))
    }
}

/// Any YAML.
impl Decode for serde_json::Value {
    fn decode(node: &Node) -> Result<Self, Problem> {
        Ok(node.to_json())
    }

    fn show(&self) -> Option<Shown> {
        Some(match self {
            Self::Null => return None,
            Self::String(text) => Shown::Text(text.clone()),
            Self::Array(items) => {
                Shown::List(items.iter().map(|item| item.show().unwrap_or(Shown::null())).collect())
            }
            Self::Object(entries) => Shown::Map(
                entries
                    .iter()
                    .map(|(key, value)| (key.clone(), value.show().unwrap_or(Shown::null())))
                    .collect(),
            ),
            plain => Shown::Plain(plain.to_string()),
        })
    }
}

/// Declares a mapping of the configuration: a struct with a value for each key, its defaults, how it is read and shown,
/// and what has to hold of it.
macro_rules! section {
    (
        $(#[$meta:meta])*
        $name:ident as $go:literal {
            $($field:ident: $type:ty = $default:expr, $key:literal;)*
        }
        check $check:expr
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $(#[doc = concat!("`", $key, "`, as upstream documents it.")] pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $crate::config::decode::Decode for $name {
            fn decode(
                node: &settings::yaml::Node,
            ) -> Result<Self, $crate::config::decode::Problem> {
                let mut fields = $crate::config::decode::Fields::of(node, $go)?;
                let mut value = Self::default();
                $(if let Some(node) = fields.take($key) {
                    value.$field = $crate::config::decode::Decode::decode(node)?;
                })*
                fields.end()?;
                let check: fn(&mut Self) -> Result<(), String> = $check;
                check(&mut value).map_err(|message| $crate::config::decode::Problem::at(node, message))?;
                Ok(value)
            }

            fn show(&self) -> Option<$crate::config::show::Shown> {
                let mut entries = Vec::new();
                $(if let Some(shown) = $crate::config::decode::Decode::show(&self.$field) {
                    entries.push(($key.to_owned(), shown));
                })*
                Some($crate::config::show::Shown::Map(entries))
            }
        }
    };
}
pub(crate) use section;
