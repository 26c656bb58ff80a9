//! The syntax of templates: what an action may say, as a tree.

mod display;
mod lex;
mod number;
mod parser;
mod token;

use std::sync::Arc;

pub(crate) use self::number::Number;
pub(crate) use self::parser::parse;

/// The longest text that is parsed, in bytes.
pub const MAX_TEMPLATE_BYTES: usize = 1 << 20;

/// How deep actions, parentheses and templates in templates may nest.
pub const MAX_NESTING: usize = 200;

/// A parsed template and the text it stands in.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// The name under which the text was parsed: a template in a file stands at a line of the file.
    pub(crate) source: Arc<str>,
    pub(crate) text: Arc<str>,
    pub(crate) root: Vec<Node>,
}

impl Tree {
    /// Whether there is nothing but space, so that another definition may replace it.
    pub(crate) fn is_empty(&self) -> bool {
        self.root.iter().all(|node| matches!(node, Node::Text { text, .. } if text.trim().is_empty()))
    }
}

/// A part of a template.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Text { position: usize, text: String },
    Action { position: usize, pipe: Pipe },
    If(Branch),
    With(Branch),
    Range(Branch),
    Template { position: usize, name: String, pipe: Option<Pipe> },
    Break { position: usize },
    Continue { position: usize },
}

/// What `if`, `with` and `range` have in common.
#[derive(Debug, Clone)]
pub(crate) struct Branch {
    pub(crate) position: usize,
    pub(crate) pipe: Pipe,
    pub(crate) body: Vec<Node>,
    pub(crate) otherwise: Option<Vec<Node>>,
}

/// Commands, each taking what the one before gave, and the variables that take the last.
#[derive(Debug, Clone)]
pub(crate) struct Pipe {
    pub(crate) position: usize,
    /// Whether the variables exist already.
    pub(crate) assigns: bool,
    pub(crate) variables: Vec<Arc<str>>,
    pub(crate) commands: Vec<Command>,
}

/// A function, method or value, and its arguments.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub(crate) position: usize,
    pub(crate) arguments: Vec<Term>,
}

/// A value, or how to come by one.
#[derive(Debug, Clone)]
pub(crate) struct Term {
    pub(crate) position: usize,
    pub(crate) kind: TermKind,
}

/// What a [`Term`] is.
#[derive(Debug, Clone)]
pub(crate) enum TermKind {
    Dot,
    Nil,
    Bool(bool),
    Number(Number),
    Text {
        quoted: String,
        text: Arc<str>,
    },
    Field(Vec<String>),
    /// The variable's name with its `$`, and fields of it.
    Variable(Arc<str>, Vec<String>),
    Function(String),
    /// Fields of something that is no variable.
    Chain(Box<Term>, Vec<String>),
    Pipe(Pipe),
}
