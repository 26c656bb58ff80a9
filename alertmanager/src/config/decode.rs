//! From YAML nodes to values, as strictly as upstream: what is not known is refused, with upstream's words and its place.

use std::collections::BTreeMap;
use std::time::Duration;

use settings::yaml::{Kind, Node};

use super::scalar::{self, Scalar};
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

    /// What null says where it stands for this; `None` if it says nothing.
    fn null() -> Option<Self> {
        None
    }
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
        self.take_any(name).filter(|node| !node.is_null())
    }

    /// The value of a field, if it stands there.
    pub(crate) fn take_any(&mut self, name: &str) -> Option<&'a Node> {
        let index = self.left.iter().position(|(key, _)| key.text == name)?;
        Some(self.left.swap_remove(index).1)
    }

    /// Refuses what was not taken.
    pub(crate) fn end(mut self) -> Result<(), Problem> {
        self.left.sort_by_key(|(key, _)| (key.line, key.column));
        let Some((first, _)) = self.left.first() else { return Ok(()) };
        let mut message = "yaml: unmarshal errors:".to_owned();
        for (key, _) in &self.left {
            let (line, name) = (key.line, &key.text);
            message.push_str(&format!("\n  line {line}: field {name} not found in type {}", self.type_name));
        }
        Err(Problem { line: first.line, column: first.column, message })
    }
}

/// A value of the wrong kind.
pub(crate) fn mismatch(node: &Node, type_name: &str) -> Problem {
    let (kind, shown) = match &node.kind {
        Kind::Mapping(_) => ("map", String::new()),
        Kind::Sequence(_) => ("seq", String::new()),
        Kind::Scalar { text, .. } => {
            // As much as upstream shows.
            let cut: String = text.chars().take(7).collect();
            let shown = if text.len() > 10 { format!(" `{cut}...`") } else { format!(" `{text}`") };
            (Scalar::of(node).tag(), shown)
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
    text_of(node, "string")
}

/// A single value as text, of what upstream calls so in messages.
pub(crate) fn text_of(node: &Node, type_name: &str) -> Result<String, Problem> {
    match node.scalar() {
        Some(_) if node.is_null() => Ok(String::new()),
        Some(text) => Ok(text.to_owned()),
        None => Err(mismatch(node, type_name)),
    }
}

/// A list, each item read by `read`; null is an empty one.
pub(crate) fn list<T>(node: &Node, read: impl Fn(&Node) -> Result<T, Problem>) -> Result<Vec<T>, Problem> {
    match &node.kind {
        Kind::Sequence(items) => items.iter().map(read).collect(),
        _ if node.is_null() => Ok(Vec::new()),
        Kind::Scalar { .. } | Kind::Mapping(_) => Err(mismatch(node, "[]string")),
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

    fn null() -> Option<Self> {
        Some(Self::new())
    }
}

impl Decode for bool {
    fn decode(node: &Node) -> Result<Self, Problem> {
        match Scalar::of(node) {
            Scalar::Bool(truth) => Ok(truth),
            _ => Err(mismatch(node, "bool")),
        }
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::Plain(self.to_string()))
    }

    fn null() -> Option<Self> {
        Some(false)
    }
}

macro_rules! whole_numbers {
    ($($type:ty as $name:literal),*) => {
        $(impl Decode for $type {
            fn decode(node: &Node) -> Result<Self, Problem> {
                let number = Scalar::of(node).whole().and_then(|number| number.try_into().ok());
                number.ok_or_else(|| mismatch(node, $name))
            }

            fn show(&self) -> Option<Shown> {
                Some(Shown::Plain(self.to_string()))
            }

            fn null() -> Option<Self> {
                Some(0)
            }
        })*
    };
}
whole_numbers!(i64 as "int", u64 as "uint64");

impl Decode for f64 {
    fn decode(node: &Node) -> Result<Self, Problem> {
        Scalar::of(node).float().ok_or_else(|| mismatch(node, "float64"))
    }

    fn null() -> Option<Self> {
        Some(0.0)
    }

    fn show(&self) -> Option<Shown> {
        (*self != 0.0).then(|| Shown::Plain(gotemplate::format_float(*self, 'g', None)))
    }
}

/// A duration as Prometheus writes it: `1h30m`.
impl Decode for Duration {
    fn decode(node: &Node) -> Result<Self, Problem> {
        scalar::duration(&text(node)?).map_err(|message| Problem::at(node, message))
    }

    fn null() -> Option<Self> {
        Some(Self::ZERO)
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

    fn null() -> Option<Self> {
        Some(None)
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

    fn null() -> Option<Self> {
        Some(Self::new())
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

    fn null() -> Option<Self> {
        Some(Self::new())
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

/// A mapping of anything.
impl Decode for serde_json::Map<String, serde_json::Value> {
    fn decode(node: &Node) -> Result<Self, Problem> {
        match node.to_json() {
            serde_json::Value::Object(entries) => Ok(entries),
            _ => Err(mismatch(node, "map[string]interface {}")),
        }
    }

    fn show(&self) -> Option<Shown> {
        serde_json::Value::Object(self.clone()).show()
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
                $(match fields.take_any($key) {
                    Some(node) if node.is_null() => {
                        value.$field = $crate::config::decode::Decode::null().unwrap_or(value.$field);
                    }
                    Some(node) => value.$field = $crate::config::decode::Decode::decode(node)?,
                    None => {}
                })*
                fields.end()?;
                let check: fn(&mut Self) -> Result<(), String> = $check;
                check(&mut value).map_err(|message| $crate::config::decode::Problem::at(node, message))?;
                Ok(value)
            }

            fn show(&self) -> Option<$crate::config::show::Shown> {
                let mut entries = Vec::new();
                $($crate::config::show::keep(&mut entries, $key, $crate::config::decode::Decode::show(&self.$field));)*
                Some($crate::config::show::Shown::Map(entries))
            }
        }
    };
}
pub(crate) use section;
