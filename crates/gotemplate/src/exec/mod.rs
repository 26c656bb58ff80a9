//! Executing templates: walking what was parsed, with the data at hand.

mod call;
mod eval;
mod range;

use std::fmt;

use crate::error::ExecError;
use crate::format::{quote, sprint_pointed};
use crate::object::Function;
use crate::set::Templates;
use crate::syntax::{Branch, Command, Node, Pipe, Term, Tree};
use crate::value::Value;

pub(crate) use self::call::is_special;

/// What an execution may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many bytes it may write.
    pub output_bytes: usize,
    /// How deep templates may call each other.
    pub depth: usize,
    /// How many nodes and commands it may walk and evaluate.
    pub steps: usize,
}

impl Default for Limits {
    /// 16 MiB, 64 templates, ten million steps: about a second.
    fn default() -> Self {
        Self { output_bytes: 16 << 20, depth: 64, steps: 10_000_000 }
    }
}

/// Executes the template of that name.
pub(crate) fn execute(
    set: &Templates,
    name: &str,
    data: &Value,
    limits: Limits,
) -> Result<String, ExecError> {
    let Some(tree) = set.trees.get(name) else {
        let message = format!("template: {}: {} is an incomplete or empty template", name, quote(name));
        return Err(ExecError { message });
    };
    let mut state = State {
        set,
        tree,
        place: None,
        variables: vec![("$", data.clone())],
        out: String::new(),
        limits,
        depth: 0,
        steps: 0,
        nil_of_any: false,
    };
    state.walk_all(data, &tree.root)?;
    Ok(state.out)
}

type Executed<T> = Result<T, ExecError>;

/// What comes after a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

/// What an error is about.
#[derive(Clone, Copy)]
enum Place<'a> {
    Node(&'a Node),
    Pipe(&'a Pipe),
    Command(&'a Command),
    Term(&'a Term),
}

impl Place<'_> {
    fn position(&self) -> usize {
        match self {
            Self::Node(
                Node::Text { position, .. }
                | Node::Action { position, .. }
                | Node::If(Branch { position, .. })
                | Node::With(Branch { position, .. })
                | Node::Range(Branch { position, .. })
                | Node::Template { position, .. }
                | Node::Break { position }
                | Node::Continue { position },
            ) => *position,
            Self::Pipe(pipe) => pipe.position,
            Self::Command(command) => command.position,
            Self::Term(term) => term.position,
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => fmt::Display::fmt(node, f),
            Self::Pipe(pipe) => fmt::Display::fmt(pipe, f),
            Self::Command(command) => fmt::Display::fmt(command, f),
            Self::Term(term) => fmt::Display::fmt(term, f),
        }
    }
}

struct State<'a> {
    set: &'a Templates,
    tree: &'a Tree,
    /// What is being evaluated.
    place: Option<Place<'a>>,
    variables: Vec<(&'a str, Value)>,
    out: String,
    limits: Limits,
    depth: usize,
    steps: usize,
    /// Whether the last path of fields came to nothing where anything might have been: messages tell it from nothing.
    nil_of_any: bool,
}

impl<'a> State<'a> {
    fn at(&mut self, place: Place<'a>) {
        self.place = Some(place);
    }

    fn fail<T>(&self, message: impl fmt::Display) -> Executed<T> {
        let name = quote(&self.tree.name);
        let Some(place) = self.place else {
            return Err(ExecError { message: format!("template: {}: {message}", self.tree.name) });
        };
        let before = self.tree.text.get(..place.position()).unwrap_or_default();
        let line = 1 + before.matches('\n').count();
        let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1);
        let source = &self.tree.source;
        Err(ExecError {
            message: format!("template: {source}:{line}:{column}: executing {name} at <{place}>: {message}"),
        })
    }

    fn step(&mut self) -> Executed<()> {
        self.steps += 1;
        if self.steps > self.limits.steps {
            return self.fail(format_args!("exceeded maximum number of steps ({})", self.limits.steps));
        }
        Ok(())
    }

    fn write(&mut self, text: &str) -> Executed<()> {
        if self.out.len() + text.len() > self.limits.output_bytes {
            return self.fail(format_args!("exceeded maximum output ({} bytes)", self.limits.output_bytes));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn function(&self, name: &str) -> Option<&'a Function> {
        self.set.functions.get(name)
    }

    fn walk_all(&mut self, dot: &Value, nodes: &'a [Node]) -> Executed<Flow> {
        for node in nodes {
            match self.walk(dot, node)? {
                Flow::Next => {}
                flow => return Ok(flow),
            }
        }
        Ok(Flow::Next)
    }

    fn walk(&mut self, dot: &Value, node: &'a Node) -> Executed<Flow> {
        self.at(Place::Node(node));
        self.step()?;
        match node {
            Node::Text { text, .. } => self.write(text)?,
            Node::Action { pipe, .. } => {
                let value = self.pipeline(dot, pipe)?;
                if pipe.variables.is_empty() {
                    self.at(Place::Node(node));
                    self.print(node, &value)?;
                }
            }
            Node::If(branch) => return self.scoped(|state| state.if_else(dot, branch)),
            Node::With(branch) => return self.scoped(|state| state.with(dot, branch)),
            Node::Range(branch) => return self.scoped(|state| state.range(dot, branch)),
            Node::Template { name, pipe, .. } => self.template(dot, node, name, pipe.as_ref())?,
            Node::Break { .. } => return Ok(Flow::Break),
            Node::Continue { .. } => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    /// Forgets the variables that `inner` declares.
    fn scoped<T>(&mut self, inner: impl FnOnce(&mut Self) -> Executed<T>) -> Executed<T> {
        let visible = self.variables.len();
        let result = inner(self);
        self.variables.truncate(visible);
        result
    }

    fn with(&mut self, dot: &Value, branch: &'a Branch) -> Executed<Flow> {
        let value = self.pipeline(dot, &branch.pipe)?;
        if value.truth() { self.walk_all(&value, &branch.body) } else { self.otherwise(dot, branch) }
    }

    fn if_else(&mut self, dot: &Value, branch: &'a Branch) -> Executed<Flow> {
        let truth = self.pipeline(dot, &branch.pipe)?.truth();
        if truth { self.walk_all(dot, &branch.body) } else { self.otherwise(dot, branch) }
    }

    fn otherwise(&mut self, dot: &Value, branch: &'a Branch) -> Executed<Flow> {
        match &branch.otherwise {
            Some(otherwise) => self.walk_all(dot, otherwise),
            None => Ok(Flow::Next),
        }
    }

    fn template(&mut self, dot: &Value, node: &'a Node, name: &str, pipe: Option<&'a Pipe>) -> Executed<()> {
        let Some(tree) = self.set.trees.get(name) else {
            return self.fail(format_args!("template {} not defined", quote(name)));
        };
        if self.depth >= self.limits.depth {
            return self.fail(format_args!("exceeded maximum template depth ({})", self.limits.depth));
        }
        let dot = match pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Value::Nil,
        };
        let variables = std::mem::replace(&mut self.variables, vec![("$", dot.clone())]);
        let caller = std::mem::replace(&mut self.tree, tree);
        self.depth += 1;
        self.walk_all(&dot, &tree.root)?;
        self.depth -= 1;
        self.tree = caller;
        self.variables = variables;
        self.at(Place::Node(node));
        Ok(())
    }

    fn print(&mut self, node: &Node, value: &Value) -> Executed<()> {
        match value {
            Value::Nil => self.write("<no value>"),
            Value::Text(text) | Value::Safe(_, text) => self.write(text),
            Value::Function(_) => self.fail(format_args!("can't print {node} of type {}", value.type_of())),
            value => match sprint_pointed(std::slice::from_ref(value)) {
                Ok(text) => self.write(&text),
                Err(message) => self.fail(message),
            },
        }
    }
}
