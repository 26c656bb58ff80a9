//! YAML text to a tree in which every key and value knows where it stands.
//!
//! Scalars stay text: what a text means is for the type that reads it to say, so that a file, the environment and a
//! flag mean the same by the same words. Anchors, aliases and merge keys (`<<`) are resolved here. Texts come in, trees
//! go out: nothing here reads files.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, Span};
use thiserror::Error;

/// The longest file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 64 << 20;

/// How many nodes a file may have once its aliases are written out.
pub const MAX_NODES: usize = 1_000_000;

/// So many bytes of a text count as one node more where an alias stands for it: short aliases of long texts would be many times
/// as long as the file.
const BYTES_PER_NODE: usize = 64;

/// How deep lists and mappings may stand in each other: walking over trees recurses.
pub const MAX_DEPTH: usize = 256;

/// Why a text is not read, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl Problem {
    fn new(line: usize, column: usize, message: impl Into<String>) -> Self {
        Self { line, column, message: message.into() }
    }
}

/// The first document of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct First {
    /// What it holds; `None` when there is nothing but comments.
    pub document: Option<Node>,
    /// Where a second document begins, if there is one.
    pub second: Option<(usize, usize)>,
}

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

/// The one document in `text`; `None` when there is nothing but comments. A second one is refused.
pub fn parse(text: &str) -> Result<Option<Node>, Problem> {
    let first = parse_first(text)?;
    match first.second {
        None => Ok(first.document),
        Some((line, column)) => Err(Problem::new(line, column, "a second document; a file holds one")),
    }
}

/// The first document in `text`. What comes behind it is not looked at, except that the second document is found.
pub fn parse_first(text: &str) -> Result<First, Problem> {
    if text.len() > MAX_FILE_BYTES {
        let message = format!("the file is {} bytes long; at most {MAX_FILE_BYTES} are read", text.len());
        return Err(Problem::new(1, 1, message));
    }
    let mut text = Cow::Borrowed(text);
    for _ in 0..MAX_INDENTED_LINES {
        match attempt(&text) {
            Err(Refused::TooFarLeft(line)) => text = Cow::Owned(indented(&text, line)),
            Err(Refused::Wrong(problem)) => return Err(problem),
            Ok(first) => return Ok(first),
        }
    }
    match attempt(&text) {
        Err(Refused::TooFarLeft(line)) => Err(Problem::new(
            line,
            1,
            "not valid YAML: a line of a text in quotes stands further left than what the text belongs to",
        )),
        Err(Refused::Wrong(problem)) => Err(problem),
        Ok(first) => Ok(first),
    }
}

/// How many lines of texts in quotes may stand too far left. Many programs take them, rule files have them; since such a text
/// forgets how its lines are indented, they are read as if they stood where they should.
const MAX_INDENTED_LINES: usize = 256;

/// Where such lines are put: right of all that nests.
const FAR_RIGHT: usize = 2 * MAX_DEPTH;

/// Why a text was not read.
enum Refused {
    /// A line of a text in quotes stands too far left.
    TooFarLeft(usize),
    /// Anything else.
    Wrong(Problem),
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Wrong(problem)
    }
}

/// The text with one line, counted from 1, moved to the right.
fn indented(text: &str, line: usize) -> String {
    let mut out = String::with_capacity(text.len() + FAR_RIGHT);
    for (index, content) in text.split_inclusive('\n').enumerate() {
        if index + 1 == line {
            out.extend(std::iter::repeat_n(' ', FAR_RIGHT));
        }
        out.push_str(content);
    }
    out
}

fn attempt(text: &str) -> Result<First, Refused> {
    let mut builder = Builder { lines: text.split('\n').collect(), ..Builder::default() };
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(event) => event,
            // The first document is whole, and what follows is none of it.
            Err(error) if builder.ended => {
                return Ok(First { document: builder.root, second: Some(place(*error.marker())) });
            }
            Err(error) if *error.kind() == ErrorKind::InvalidQuotedScalarIndent => {
                return Err(Refused::TooFarLeft(error.marker().line()));
            }
            Err(error) => {
                let (line, column) = place(*error.marker());
                return Err(Problem::new(line, column, format!("not valid YAML: {}", error.kind())).into());
            }
        };
        match event {
            Event::DocumentStart(..) => {
                documents += 1;
                if documents > 1 {
                    return Ok(First { document: builder.root, second: Some(place(span.start)) });
                }
            }
            Event::DocumentEnd => builder.ended = true,
            event => builder.event(event, span)?,
        }
    }
    Ok(First { document: builder.root, second: None })
}

fn place(at: Marker) -> (usize, usize) {
    (at.line(), at.col() + 1)
}

/// A collection whose end has not come yet.
enum Open {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<(Key, Node)>, seen: HashSet<String>, key: Option<Key> },
}

#[derive(Default)]
struct Builder<'t> {
    /// The lines of the text.
    lines: Vec<&'t str>,
    open: Vec<(Open, Span, usize)>,
    anchors: HashMap<usize, (Node, usize)>,
    root: Option<Node>,
    /// Whether the document has ended.
    ended: bool,
    nodes: usize,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let kind = Kind::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                let at = match style {
                    ScalarStyle::Literal | ScalarStyle::Folded => self.block_start(),
                    _ => None,
                };
                self.finish(kind, at.unwrap_or_else(|| place(span.start)), anchor, 1)
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if self.open.len() >= MAX_DEPTH => Err(
                problem_at(span, &format!("lists and mappings stand deeper in each other than {MAX_DEPTH}")),
            ),
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
                    self.finish(Kind::Sequence(items), place(span.start), anchor, 1)
                }
                Some((Open::Mapping { entries, .. }, span, anchor)) => {
                    self.finish(Kind::Mapping(entries), place(span.start), anchor, 1)
                }
                None => Err(problem_at(span, "a collection ends that never began")),
            },
            Event::Alias(id) => match self.anchors.get(&id).cloned() {
                Some((node, size)) => self.finish(node.kind, place(span.start), 0, size),
                None => Err(problem_at(span, "an alias refers to a value that contains it")),
            },
            _ => Ok(()),
        }
    }

    /// Where the `|` or `>` stands that begins a text of several lines: it is the text's place, and mostly on the line of its key.
    fn block_start(&self) -> Option<(usize, usize)> {
        let Some((Open::Mapping { key: Some(key), .. }, ..)) = self.open.last() else { return None };
        let line = self.lines.get(key.line.checked_sub(1)?)?;
        let behind_key = key.column.checked_sub(1)? + key.text.chars().count();
        let sign = line.chars().enumerate().skip(behind_key).find(|(_, c)| matches!(c, '|' | '>'))?;
        Some((key.line, sign.0 + 1))
    }

    /// A value is complete: remember it under its anchor and hand it to what contains it.
    fn finish(&mut self, kind: Kind, at: (usize, usize), anchor: usize, size: usize) -> Result<(), Problem> {
        self.nodes += size;
        if self.nodes > MAX_NODES {
            let message = format!("more than {MAX_NODES} values, aliases written out");
            return Err(Problem::new(at.0, at.1, message));
        }
        let node = Node { line: at.0, column: at.1, kind };
        if anchor != 0 {
            let size = count(&node);
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let problem = |node: &Node, message: String| Err(Problem::new(node.line, node.column, message));
        match self.open.last_mut() {
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
                                return Err(Problem::new(name.line, name.column, message));
                            }
                        }
                    }
                    entries.push((name, node));
                    Ok(())
                }
            },
        }
    }
}

fn problem_at(span: Span, message: &str) -> Problem {
    let (line, column) = place(span.start);
    Problem::new(line, column, message)
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
        Kind::Scalar { text, .. } => 1 + text.len() / BYTES_PER_NODE,
        Kind::Sequence(items) => 1 + items.iter().map(count).sum::<usize>(),
        Kind::Mapping(entries) => {
            let sizes = entries.iter().map(|(key, value)| 1 + key.text.len() / BYTES_PER_NODE + count(value));
            1 + sizes.sum::<usize>()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_several_documents_is_read() {
        let text = "a: 1\n---\nb: [\n";
        let first = parse_first(text).unwrap();
        assert_eq!(first.document.unwrap().to_json(), serde_json::json!({"a": 1}));
        assert_eq!(first.second.map(|(line, _)| line), Some(2));
        let problem = parse(text).unwrap_err();
        assert_eq!((problem.line, problem.message.as_str()), (2, "a second document; a file holds one"));
        assert_eq!(parse_first("# nothing\n").unwrap(), First { document: None, second: None });
        assert_eq!(parse_first("---\na: 1\n...\n").unwrap().second, None);
        assert!(parse_first("a: [\n---\nb: 1\n").is_err());
    }

    #[test]
    fn lines_in_quotes_may_stand_anywhere() {
        let text = "a:\n  b: \"one\n  two\n two\n\n  three\"\n  c: 'x\ny'\n";
        let document = parse(text).unwrap().unwrap();
        assert_eq!(document.to_json(), serde_json::json!({"a": {"b": "one two two\nthree", "c": "x y"}}));
        let many = format!("  a: \"{}\"\n", "x\n".repeat(400));
        assert!(parse(&many).unwrap_err().message.contains("further left"));
    }

    #[test]
    fn texts_of_several_lines_begin_at_their_sign() {
        let document = parse("a:\n  b: &x |-\n    text\n  c: >\n\n    text\n").unwrap().unwrap();
        let Kind::Mapping(entries) = &document.kind else { panic!("a mapping") };
        let Kind::Mapping(inner) = &entries[0].1.kind else { panic!("a mapping") };
        let places: Vec<(usize, usize)> = inner.iter().map(|(_, node)| (node.line, node.column)).collect();
        assert_eq!(places, [(2, 9), (4, 6)]);
    }

    #[test]
    fn aliases_of_long_texts_are_bounded() {
        let file = |bytes: usize| format!("a: &a {}\nb: [{}]\n", "x".repeat(bytes), "*a, ".repeat(1_000));
        assert!(parse(&file(1_000)).is_ok());
        for text in [file(100_000), file(100_000).replace("&a ", "&a {k: ").replace("\nb", "}\nb")] {
            assert!(parse(&text).unwrap_err().message.contains("aliases written out"));
        }
    }

    #[test]
    fn depth_is_bounded() {
        assert!(parse(&format!("{}{}", "[".repeat(200), "]".repeat(200))).is_ok());
        for text in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(10_000)] {
            assert!(parse(&text).is_err());
        }
    }
}
