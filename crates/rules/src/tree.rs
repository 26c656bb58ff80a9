//! What somebody wrote in YAML, kept word by word without its places, and written as YAML again. Texts stay texts, and numbers
//! as they were written: `1.10` is not 1.1 afterwards.

use serde_json::Value;
use yaml::{Kind, Node};

use crate::file::FileError;

/// How many values, keys included, a text may have that is read.
pub const MAX_NODES: usize = yaml::MAX_NODES;

/// A value of YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tree {
    /// A text; in quotes where it could be taken for something else.
    Text(String),
    /// What stood without quotes and is not read as text by everybody: a number, or `true`.
    Plain(String),
    /// A list.
    List(Vec<Tree>),
    /// Keys in their order.
    Map(Vec<(String, Tree)>),
}

impl Tree {
    /// The one document of a text; nothing where there is none.
    ///
    /// # Errors
    /// Where it is no YAML, has a second document, or is larger than what is read.
    pub fn parse(text: &str) -> Result<Option<Self>, FileError> {
        Ok(yaml::parse(text).map_err(FileError::of_yaml)?.as_ref().and_then(Self::of))
    }

    /// The value of a node. What is nothing is left out.
    fn of(node: &Node) -> Option<Self> {
        Some(match &node.kind {
            Kind::Scalar { .. } if node.is_null() => return None,
            Kind::Scalar { text, plain: true } if !node.to_json().is_string() => Self::Plain(text.clone()),
            Kind::Scalar { text, .. } => Self::Text(text.clone()),
            Kind::Sequence(items) => Self::List(items.iter().filter_map(Self::of).collect()),
            Kind::Mapping(entries) => {
                let entries = entries.iter();
                let entries = entries.filter_map(|(key, node)| Some((key.text.clone(), Self::of(node)?)));
                Self::Map(entries.collect())
            }
        })
    }

    /// The value of a key of a map.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text that it is.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Plain(text) => Some(text),
            _ => None,
        }
    }

    /// The items of a list; none where it is something else.
    pub fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// How many values it has, keys included: as many as reading it takes of [`MAX_NODES`].
    pub fn nodes(&self) -> usize {
        match self {
            Self::Text(_) | Self::Plain(_) => 1,
            Self::List(items) => 1 + items.iter().map(Self::nodes).sum::<usize>(),
            Self::Map(entries) => 1 + entries.iter().map(|(_, value)| 1 + value.nodes()).sum::<usize>(),
        }
    }

    /// The same as JSON.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => Value::from(text.as_str()),
            Self::Plain(text) => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str())),
            Self::List(items) => items.iter().map(Self::to_json).collect(),
            Self::Map(entries) => {
                Value::Object(entries.iter().map(|(key, value)| (key.clone(), value.to_json())).collect())
            }
        }
    }

    /// As YAML, with a line's end at its own.
    pub fn to_yaml(&self) -> String {
        let mut out = String::new();
        self.push(&mut out, 0);
        out
    }

    /// Appends it where a line begins, so far to the right.
    fn push(&self, out: &mut String, indent: usize) {
        match self {
            Self::Map(entries) if !entries.is_empty() => {
                for (number, (key, value)) in entries.iter().enumerate() {
                    if number > 0 {
                        pad(out, indent);
                    }
                    out.push_str(&scalar(key));
                    out.push(':');
                    value.push_behind(out, indent);
                }
            }
            Self::List(items) if !items.is_empty() => {
                for (number, item) in items.iter().enumerate() {
                    if number > 0 {
                        pad(out, indent);
                    }
                    out.push_str("- ");
                    item.push(out, indent + STEP);
                }
            }
            other => {
                out.push_str(&other.inline());
                out.push('\n');
            }
        }
    }

    /// Appends it behind a key.
    fn push_behind(&self, out: &mut String, indent: usize) {
        match self {
            Self::Text(text) if is_block(text) => {
                out.push_str(if text.ends_with('\n') { " |\n" } else { " |-\n" });
                for line in text.lines() {
                    if !line.is_empty() {
                        pad(out, indent + STEP);
                    }
                    out.push_str(line);
                    out.push('\n');
                }
            }
            Self::Map(entries) if !entries.is_empty() => self.push_below(out, indent),
            Self::List(items) if !items.is_empty() => self.push_below(out, indent),
            other => {
                out.push(' ');
                out.push_str(&other.inline());
                out.push('\n');
            }
        }
    }

    fn push_below(&self, out: &mut String, indent: usize) {
        out.push('\n');
        pad(out, indent + STEP);
        self.push(out, indent + STEP);
    }

    fn inline(&self) -> String {
        match self {
            Self::Text(text) => scalar(text),
            Self::Plain(text) => text.clone(),
            Self::List(_) => "[]".to_owned(),
            Self::Map(_) => "{}".to_owned(),
        }
    }
}

/// How much further to the right what is inside stands.
const STEP: usize = 2;

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// A text of several lines that can be written as it is.
fn is_block(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    body.contains('\n')
        && !body.starts_with([' ', '\n'])
        && !body.ends_with(['\n', ' '])
        && text.chars().all(|c| c == '\n' || is_shown(c))
}

/// A text in one line: without quotes where that means the same to everybody.
fn scalar(text: &str) -> String {
    const RESERVED: [&str; 12] =
        ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf", "infinity"];
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') || is_duration(text);
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./()".contains(c);
    let words = text.split(' ').all(|word| !word.is_empty() && word.chars().all(plain));
    match begins && words && !RESERVED.contains(&text.to_ascii_lowercase().as_str()) {
        true => text.to_owned(),
        false => quoted(text),
    }
}

/// A text in quotes, with what has no look of its own as its number.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if is_shown(c) => out.push(c),
            c => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

/// Whether a character may stand in YAML as it is.
fn is_shown(c: char) -> bool {
    let special =
        matches!(c, '\u{85}' | '\u{a0}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    !c.is_control() && !special
}

/// Such as `1m` or `1h30m`, which nobody takes for a number.
fn is_duration(text: &str) -> bool {
    let mut digits = false;
    let each = text.bytes().all(|byte| match byte {
        b'0'..=b'9' => {
            digits = true;
            true
        }
        b'm' | b's' | b'h' | b'd' | b'w' | b'y' => digits,
        _ => false,
    });
    each && text.ends_with(['s', 'm', 'h', 'd', 'w', 'y'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn again(yaml: &str) -> Tree {
        let tree = Tree::parse(yaml).unwrap_or_else(|error| panic!("{error} in\n{yaml}"));
        tree.expect("something")
    }

    #[test]
    fn what_is_kept_is_written_as_people_write_it() {
        let text = "name: g\ninterval: 1m\nlimit: 3\nrules:\n  - alert: Up\n    expr: |-\n      up\n        == 1\n    for: \"5m\"\n    labels: {v: \"1.10\", on: \"true\", empty: \"\"}\n    annotations:\n";
        let expected = "name: g\ninterval: 1m\nlimit: 3\nrules:\n  - alert: Up\n    expr: |-\n      up\n        == 1\n    for: 5m\n    labels:\n      v: \"1.10\"\n      \"on\": \"true\"\n      empty: \"\"\n";
        assert_eq!(again(text).to_yaml(), expected);
    }

    #[test]
    fn the_same_is_said_in_json() {
        let tree =
            again("{name: g, limit: 3, on: '1', ratio: 1.50, all: true, rules: [{expr: up}], none: ~}");
        let expected = serde_json::json!({
            "name": "g", "limit": 3, "on": "1", "ratio": 1.5, "all": true, "rules": [{"expr": "up"}],
        });
        assert_eq!(tree.to_json(), expected);
        assert_eq!(tree.nodes(), 16);
        assert_eq!(Tree::parse("# nothing\n"), Ok(None));
        assert_eq!(Tree::parse("a: 1\n---\nb: 2\n").unwrap_err().place.line, 2);
    }

    fn trees() -> impl Strategy<Value = Tree> {
        let text = prop_oneof![
            any::<String>(),
            "[ -~\n]{0,40}",
            Just("1e3".to_owned()),
            Just("~".to_owned()),
            Just("- a: b # c".to_owned()),
        ];
        text.prop_map(Tree::Text).prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..5).prop_map(Tree::List),
                prop::collection::btree_map("[a-z0-9 :#-]{1,8}", inner, 1..5)
                    .prop_map(|map| Tree::Map(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_it_was(tree in trees()) {
            let yaml = Tree::Map(vec![("key".to_owned(), tree.clone())]).to_yaml();
            prop_assert_eq!(again(&yaml), Tree::Map(vec![("key".to_owned(), tree)]), "{}", yaml);
        }
    }
}
