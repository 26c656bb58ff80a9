//! YAML nodes to values, with everything that is wrong with them remembered: nothing stops at the first error.

use std::collections::BTreeMap;

use promql::text::duration::parse_ms;
use yaml::{Key, Kind, Node};

use super::{FileError, Place};

/// A text and where it stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) place: Place,
}

/// Texts by name, each where its value stands.
pub(crate) type Texts = BTreeMap<String, Text>;

pub(crate) fn place(node: &Node) -> Place {
    Place { line: node.line, column: node.column }
}

/// The fields of a mapping; what is null is as if it were absent.
pub(crate) struct Fields<'a>(&'a [(Key, Node)]);

impl<'a> Fields<'a> {
    pub(crate) fn get(&self, name: &str) -> Option<&'a Node> {
        let (_, node) = self.0.iter().find(|(key, _)| key.text == name)?;
        (!node.is_null()).then_some(node)
    }
}

/// Reads nodes, and remembers what is wrong with them.
pub(crate) struct Reader {
    ignore_unknown: bool,
    pub(crate) errors: Vec<FileError>,
}

impl Reader {
    pub(crate) fn new(ignore_unknown: bool) -> Self {
        Self { ignore_unknown, errors: Vec::new() }
    }

    /// What was read, unless something is wrong.
    pub(crate) fn finish<T>(self, value: T) -> Result<T, Vec<FileError>> {
        if self.errors.is_empty() { Ok(value) } else { Err(self.errors) }
    }

    pub(crate) fn mapping<'a>(&mut self, node: &'a Node, type_name: &str, known: &[&str]) -> Fields<'a> {
        let Kind::Mapping(entries) = &node.kind else {
            if !node.is_null() {
                self.mismatch(node, type_name);
            }
            return Fields(&[]);
        };
        let unknown = entries.iter().filter(|(key, _)| !known.contains(&key.text.as_str()));
        for (key, value) in unknown.filter(|_| !self.ignore_unknown) {
            // What a merge key brought stands where its value does.
            let at = if key.line == 0 { place(value) } else { Place { line: key.line, column: key.column } };
            let message = format!("field {} not found in type {type_name}", key.text);
            self.errors.push(FileError::new(at, message));
        }
        Fields(entries)
    }

    pub(crate) fn list<T>(
        &mut self,
        node: Option<&Node>,
        type_name: &str,
        read: impl Fn(&mut Self, &Node) -> T,
    ) -> Vec<T> {
        match node.map(|node| (node, &node.kind)) {
            None => Vec::new(),
            Some((_, Kind::Sequence(items))) => items.iter().map(|item| read(self, item)).collect(),
            Some((node, _)) => {
                self.mismatch(node, type_name);
                Vec::new()
            }
        }
    }

    pub(crate) fn text(&mut self, node: &Node) -> Text {
        match node.scalar() {
            Some(_) if node.is_null() => Text { text: String::new(), place: place(node) },
            Some(text) => Text { text: text.to_owned(), place: place(node) },
            None => {
                self.mismatch(node, "string");
                Text::default()
            }
        }
    }

    pub(crate) fn texts(&mut self, node: &Node) -> Texts {
        match &node.kind {
            Kind::Mapping(entries) => {
                entries.iter().map(|(key, value)| (key.text.clone(), self.text(value))).collect()
            }
            _ => {
                self.mismatch(node, "map[string]string");
                Texts::new()
            }
        }
    }

    pub(crate) fn duration(&mut self, node: &Node) -> Option<i64> {
        let errors = self.errors.len();
        let text = self.text(node).text;
        if self.errors.len() > errors {
            return None;
        }
        parse_ms(&text).map_err(|message| self.errors.push(FileError::new(place(node), message))).ok()
    }

    pub(crate) fn int(&mut self, node: &Node) -> Option<i64> {
        let int = match &node.kind {
            Kind::Scalar { text, plain: true } => whole_number(text),
            _ => None,
        };
        if int.is_none() {
            self.mismatch(node, "int");
        }
        int
    }

    pub(crate) fn bool(&mut self, node: &Node) -> bool {
        match node.scalar() {
            Some("true" | "True" | "TRUE" | "yes" | "on") => true,
            Some("false" | "False" | "FALSE" | "no" | "off") => false,
            _ => {
                self.mismatch(node, "bool");
                false
            }
        }
    }

    pub(crate) fn float(&mut self, node: &Node) -> f64 {
        let float = match &node.kind {
            Kind::Scalar { text, .. } => float(text),
            _ => None,
        };
        float.unwrap_or_else(|| {
            self.mismatch(node, "float64");
            0.0
        })
    }

    pub(crate) fn mismatch(&mut self, node: &Node, type_name: &str) {
        let (kind, shown) = match &node.kind {
            Kind::Mapping(_) => ("map", String::new()),
            Kind::Sequence(_) => ("seq", String::new()),
            Kind::Scalar { text, plain } => (scalar_kind(text, *plain), shown(text)),
        };
        let message = format!("cannot unmarshal !!{kind}{shown} into {type_name}");
        self.errors.push(FileError::new(place(node), message));
    }
}

/// As much of a text as upstream shows.
fn shown(text: &str) -> String {
    const CUT: usize = 7;
    const SHOWN: usize = 10;
    match text.chars().count() > SHOWN {
        true => format!(" `{}...`", text.chars().take(CUT).collect::<String>()),
        false => format!(" `{text}`"),
    }
}

/// The kind that YAML's core schema gives a single value.
fn scalar_kind(text: &str, plain: bool) -> &'static str {
    let node = Node { line: 0, column: 0, kind: Kind::Scalar { text: text.to_owned(), plain } };
    match node.to_json() {
        serde_json::Value::Bool(_) => "bool",
        serde_json::Value::Number(number) if number.is_f64() => "float",
        serde_json::Value::Number(_) => "int",
        _ => "str",
    }
}

/// A whole number as YAML writes them: also hexadecimal, octal, binary, with underscores, or as a float without a fraction.
fn whole_number(text: &str) -> Option<i64> {
    let text = text.replace('_', "");
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (if text.starts_with('-') { -1 } else { 1 }, digits),
        None => (1, text.as_str()),
    };
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = digits.strip_prefix(prefix) {
            return i64::from_str_radix(digits, radix).ok().map(|value| sign * value);
        }
    }
    if let Ok(value) = text.parse() {
        return Some(value);
    }
    let float: f64 = digits.starts_with(|c: char| c.is_ascii_digit()).then(|| text.parse().ok())??;
    (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64)
}

/// A float as YAML writes them.
fn float(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        ".inf" | "+.inf" => return Some(f64::INFINITY),
        "-.inf" => return Some(f64::NEG_INFINITY),
        ".nan" => return Some(f64::NAN),
        _ => {}
    }
    if let Some(whole) = whole_number(text) {
        return Some(whole as f64);
    }
    let text = text.replace('_', "");
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(&text);
    unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.').then(|| text.parse().ok())?
}
