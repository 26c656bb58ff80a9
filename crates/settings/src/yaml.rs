//! YAML text to a tree in which every key and value knows where it stands.
//!
//! Scalars stay text: what a text means is for the type that reads it to say, so that a file, the environment and a
//! flag mean the same by the same words. Anchors, aliases and merge keys (`<<`) are resolved here.

use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Parser, ScalarStyle, Span};

use crate::problem::{Location, Problem};

/// The longest file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 64 << 20;

/// How many nodes a file may have once its aliases are written out.
pub const MAX_NODES: usize = 1_000_000;

/// A value and where it starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What stands there.
    pub kind: Kind,
}

/// What a [`Node`] is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Text; `plain` when it had no quotes, so that `true`, `3` and `~` may be more than text.
    Scalar {
        /// The text, unescaped.
        text: String,
        /// Whether it stood without quotes.
        plain: bool,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values in the order of the file; no key stands twice.
    Mapping(Vec<(Key, Node)>),
}

/// A key of a mapping and where it starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// The key.
    pub text: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

impl Node {
    /// Whether this is no value at all: nothing after the colon, `~` or `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null"))
    }

    /// The text of a single value.
    pub fn scalar(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// What this is, for messages.
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar { .. } if self.is_null() => "nothing",
            Kind::Scalar { .. } => "a single value",
            Kind::Sequence(_) => "a list",
            Kind::Mapping(_) => "a mapping",
        }
    }

    /// The value as JSON, plain scalars resolved by YAML's core schema.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.kind {
            Kind::Scalar { text, plain: false } => text.as_str().into(),
            Kind::Scalar { text, plain: true } => plain_to_json(text),
            Kind::Sequence(items) => items.iter().map(Self::to_json).collect(),
            Kind::Mapping(entries) => serde_json::Value::Object(
                entries.iter().map(|(k, v)| (k.text.clone(), v.to_json())).collect(),
            ),
        }
    }
}

fn plain_to_json(text: &str) -> serde_json::Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return serde_json::Value::Null,
        "true" | "True" | "TRUE" => return true.into(),
        "false" | "False" | "FALSE" => return false.into(),
        _ => {}
    }
    if let Ok(integer) = text.parse::<i64>() {
        return integer.into();
    }
    if let Ok(integer) = text.parse::<u64>() {
        return integer.into();
    }
    let numeric = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    match text.parse::<f64>() {
        Ok(number) if numeric && number.is_finite() => number.into(),
        _ => text.into(),
    }
}

/// The one document in `text`; `None` when there is nothing but comments. `file` names the text in errors.
pub fn parse(file: &str, text: &str) -> Result<Option<Node>, Problem> {
    if text.len() > MAX_FILE_BYTES {
        let message = format!("the file is {} bytes long; at most {MAX_FILE_BYTES} are read", text.len());
        return Err(Problem::new(Location::file(file, 1, 1), message));
    }
    let mut builder = Builder::new(file);
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let at = error.marker();
            Problem::new(
                Location::file(file, at.line(), at.col() + 1),
                format!("not valid YAML: {}", error.kind()),
            )
        })?;
        builder.event(event, span)?;
    }
    Ok(builder.root)
}

/// A collection whose end has not come yet.
enum Open {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<(Key, Node)>, seen: HashSet<String>, key: Option<Key> },
}

struct Builder<'a> {
    file: &'a str,
    open: Vec<(Open, Span, usize)>,
    anchors: HashMap<usize, (Node, usize)>,
    root: Option<Node>,
    nodes: usize,
}

impl<'a> Builder<'a> {
    fn new(file: &'a str) -> Self {
        Self { file, open: Vec::new(), anchors: HashMap::new(), root: None, nodes: 0 }
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let kind = Kind::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                self.finish(kind, span, anchor, 1)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open.push((Open::Sequence(Vec::new()), span, anchor));
                Ok(())
            }
            Event::MappingStart(_, anchor, _) => {
                let open = Open::Mapping { entries: Vec::new(), seen: HashSet::new(), key: None };
                self.open.push((open, span, anchor));
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some((Open::Sequence(items), span, anchor)) => {
                    self.finish(Kind::Sequence(items), span, anchor, 1)
                }
                Some((Open::Mapping { entries, .. }, span, anchor)) => {
                    self.finish(Kind::Mapping(entries), span, anchor, 1)
                }
                None => Err(self.problem(span, "a collection ends that never began")),
            },
            Event::Alias(id) => match self.anchors.get(&id).cloned() {
                Some((node, size)) => self.finish(node.kind, span, 0, size),
                None => Err(self.problem(span, "an alias refers to a value that contains it")),
            },
            _ => Ok(()),
        }
    }

    /// A value is complete: remember it under its anchor and hand it to what contains it.
    fn finish(&mut self, kind: Kind, span: Span, anchor: usize, size: usize) -> Result<(), Problem> {
        self.nodes += size;
        if self.nodes > MAX_NODES {
            return Err(self.problem(span, &format!("more than {MAX_NODES} values, aliases written out")));
        }
        let node = Node { line: span.start.line(), column: span.start.col() + 1, kind };
        if anchor != 0 {
            let size = count(&node);
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let problem = |node: &Node, message: String| {
            Err(Problem::new(Location::file(self.file, node.line, node.column), message))
        };
        match self.open.last_mut() {
            None if self.root.is_some() => problem(&node, "a second document; a file holds one".to_owned()),
            None => {
                self.root = Some(node);
                Ok(())
            }
            Some((Open::Sequence(items), ..)) => {
                items.push(node);
                Ok(())
            }
            Some((Open::Mapping { entries, seen, key }, ..)) => match key.take() {
                None => match node.kind {
                    Kind::Scalar { text, .. } => {
                        *key = Some(Key { text, line: node.line, column: node.column });
                        Ok(())
                    }
                    _ => problem(&node, format!("a key is text, this is {}", node.describe())),
                },
                Some(name) if name.text == "<<" => match merge(&node, entries, seen) {
                    true => Ok(()),
                    false => problem(&node, "'<<' merges mappings, nothing else".to_owned()),
                },
                Some(name) => {
                    if !seen.insert(name.text.clone()) {
                        // A merged key gives way to one that is written out; any other stands twice.
                        match entries.iter().position(|(k, _)| k.text == name.text && k.line == 0) {
                            Some(merged) => drop(entries.remove(merged)),
                            None => {
                                let message = format!("key {:?} stands twice in one mapping", name.text);
                                return Err(Problem::new(
                                    Location::file(self.file, name.line, name.column),
                                    message,
                                ));
                            }
                        }
                    }
                    entries.push((name, node));
                    Ok(())
                }
            },
        }
    }

    fn problem(&self, span: Span, message: &str) -> Problem {
        Problem::new(Location::file(self.file, span.start.line(), span.start.col() + 1), message)
    }
}

/// Adds the entries of `node`, a mapping or a list of mappings, that `entries` lacks; `false` if it is neither.
fn merge(node: &Node, entries: &mut Vec<(Key, Node)>, seen: &mut HashSet<String>) -> bool {
    match &node.kind {
        Kind::Mapping(merged) => {
            for (key, value) in merged {
                if seen.insert(key.text.clone()) {
                    // Line 0 marks what was merged until the mapping is complete; its value knows its own place.
                    entries.push((Key { line: 0, ..key.clone() }, value.clone()));
                }
            }
            true
        }
        Kind::Sequence(items) => items.iter().all(|item| merge(item, entries, seen)),
        Kind::Scalar { .. } => false,
    }
}

fn count(node: &Node) -> usize {
    match &node.kind {
        Kind::Scalar { .. } => 1,
        Kind::Sequence(items) => 1 + items.iter().map(count).sum::<usize>(),
        Kind::Mapping(entries) => 1 + entries.iter().map(|(_, value)| count(value)).sum::<usize>(),
    }
}
