//! Escaping by context, as `html/template` does it: where a value stands in the HTML decides how it is escaped.
//!
//! A template is walked once before it is executed. Its text is read as HTML, so that each action is known to stand in text,
//! in an attribute, in a URL, in CSS; functions that escape for that are appended to its pipeline. A template that is called
//! in several contexts is escaped for each. Values inside of scripts are refused: nothing in mails has them.

mod context;
mod escapers;
mod pipeline;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::context::{Context, Element, State};
use crate::error::ExecError;
use crate::format::quote;
use crate::set::Templates;
use crate::syntax::{Branch, Node, Tree};

/// The templates with that template, and what it calls, escaped for where it stands.
pub(crate) fn escape(set: &Templates, name: &str) -> Result<Templates, ExecError> {
    let mut escaper =
        Escaper { set, escaped: BTreeMap::new(), ends: BTreeMap::new(), jumps: Vec::new(), tree: None };
    if set.trees.contains_key(name) {
        let (_, end) = escaper.template(Context::default(), name)?;
        if end.state != State::Text {
            let message = format!("html/template:{name}: ends in a non-text context: {end:?}");
            return Err(ExecError { message });
        }
    }
    let mut templates = set.clone();
    templates.trees.extend(escaper.escaped);
    for (name, function) in escapers::functions() {
        templates.add_function(name, function);
    }
    Ok(templates)
}

struct Escaper<'a> {
    set: &'a Templates,
    /// What is escaped already, by the names that calls use.
    escaped: BTreeMap<Arc<str>, Arc<Tree>>,
    /// In which context each of them ends.
    ends: BTreeMap<Arc<str>, Context>,
    /// The contexts in which `break` and `continue` stand in the ranges that are open.
    jumps: Vec<Vec<Context>>,
    /// The template that is being escaped, for messages.
    tree: Option<Arc<Tree>>,
}

type Escaped<T> = Result<T, ExecError>;

impl Escaper<'_> {
    fn fail<T>(&self, position: usize, message: &str) -> Escaped<T> {
        let place = self.tree.as_ref().map_or_else(String::new, |tree| {
            let before = tree.text.get(..position).unwrap_or_default();
            let line = 1 + before.matches('\n').count();
            let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1);
            format!("{}:{line}:{column}", tree.source)
        });
        Err(ExecError { message: format!("html/template:{place}: {message}") })
    }

    /// What is wrong with text has no place in Go's messages but the template's name.
    fn fail_in_text<T>(&self, message: &str) -> Escaped<T> {
        let source = self.tree.as_ref().map_or("", |tree| &*tree.source);
        Err(ExecError { message: format!("html/template:{source}: {message}") })
    }

    /// The name under which a template is called in a context, and the context it ends in.
    fn template(&mut self, start: Context, name: &str) -> Escaped<(Arc<str>, Context)> {
        let Some(tree) = self.set.trees.get(name).cloned() else {
            return Ok((name.into(), start));
        };
        let derived: Arc<str> = match start == Context::default() {
            true => name.into(),
            false => format!("{name}$htmltemplate_{start:?}").into(),
        };
        if let Some(end) = self.ends.get(&derived) {
            return Ok((derived, *end));
        }
        // One that calls itself is taken to end where it starts; if it does not, to end where that led.
        let outer = self.tree.replace(tree.clone());
        let jumps = std::mem::take(&mut self.jumps);
        let mut assumed = start;
        for _ in 0..2 {
            self.ends.insert(derived.clone(), assumed);
            let mut root = tree.root.clone();
            let end = self.nodes(start, &mut root)?;
            if end == assumed || !self.calls_itself(&root, &derived) {
                self.ends.insert(derived.clone(), end);
                let escaped = Tree { name: derived.clone(), root, ..(*tree).clone() };
                self.escaped.insert(derived.clone(), Arc::new(escaped));
                self.tree = outer;
                self.jumps = jumps;
                return Ok((derived, end));
            }
            assumed = end;
        }
        self.fail(0, &format!("cannot compute output context for template {}", quote(name)))
    }

    fn calls_itself(&self, nodes: &[Node], name: &str) -> bool {
        nodes.iter().any(|node| match node {
            Node::Template { name: called, .. } => called == name || self.ends.contains_key(called.as_str()),
            Node::If(branch) | Node::With(branch) | Node::Range(branch) => {
                let otherwise = branch.otherwise.as_deref().unwrap_or_default();
                self.calls_itself(&branch.body, name) || self.calls_itself(otherwise, name)
            }
            _ => false,
        })
    }

    fn nodes(&mut self, mut context: Context, nodes: &mut [Node]) -> Escaped<Context> {
        for node in nodes {
            context = self.node(context, node)?;
        }
        Ok(context)
    }

    fn node(&mut self, context: Context, node: &mut Node) -> Escaped<Context> {
        match node {
            Node::Text { text, .. } => {
                let (end, written) = match text::walk(context, text) {
                    Ok(walked) => walked,
                    Err(message) => return self.fail_in_text(&message),
                };
                *text = written;
                Ok(end)
            }
            Node::Action { position, pipe } => {
                if !pipe.variables.is_empty() {
                    return Ok(context);
                }
                let context = context.nudged();
                match pipeline::append(pipe, context) {
                    Ok(end) => Ok(end),
                    Err(message) => self.fail(*position, &message),
                }
            }
            Node::If(branch) => self.branches(context, branch, "if"),
            Node::With(branch) => self.branches(context, branch, "with"),
            Node::Range(branch) => self.range(context, branch),
            Node::Template { position, name, .. } => {
                if !self.set.trees.contains_key(name.as_str()) {
                    return self.fail(*position, &format!("no such template {}", quote(name)));
                }
                let (derived, end) = self.template(context, name)?;
                *name = derived.to_string();
                Ok(end)
            }
            Node::Break { .. } | Node::Continue { .. } => {
                if let Some(jumps) = self.jumps.last_mut() {
                    jumps.push(context);
                }
                // What follows is never reached from here.
                Ok(Context { state: State::Dead, ..context })
            }
        }
    }

    fn join(&self, position: usize, word: &str, a: Context, b: Context) -> Escaped<Context> {
        match a.joined(b) {
            Some(context) => Ok(context),
            None => self
                .fail(position, &format!("{{{{{word}}}}} branches end in different contexts: {a:?}, {b:?}")),
        }
    }

    fn branches(&mut self, context: Context, branch: &mut Branch, word: &str) -> Escaped<Context> {
        let body = self.nodes(context, &mut branch.body)?;
        let otherwise = match &mut branch.otherwise {
            Some(otherwise) => self.nodes(context, otherwise)?,
            None => context,
        };
        self.join(branch.position, word, body, otherwise)
    }

    /// A range has to end where it starts, since it may run again; and `break` and `continue` lead to its end.
    fn range(&mut self, context: Context, branch: &mut Branch) -> Escaped<Context> {
        self.jumps.push(Vec::new());
        let mut body = self.nodes(context, &mut branch.body)?;
        for jump in self.jumps.pop().unwrap_or_default() {
            body = self.join(branch.position, "range", body, jump)?;
        }
        let body = self.join(branch.position, "range", body, context)?;
        let otherwise = match &mut branch.otherwise {
            Some(otherwise) => self.nodes(context, otherwise)?,
            None => context,
        };
        self.join(branch.position, "range", body, otherwise)
    }
}

/// The element whose content is no HTML, if a tag's name is that of one.
fn element_of(name: &str) -> Element {
    match name.to_ascii_lowercase().as_str() {
        "script" => Element::Script,
        "style" => Element::Style,
        "textarea" => Element::Textarea,
        "title" => Element::Title,
        _ => Element::None,
    }
}
