//! From tokens to trees: statements. Expressions are in `pipeline`.

use std::sync::Arc;

use super::lex::tokens;
use super::token::{Keyword, Kind, Token};
use super::{Branch, MAX_NESTING, MAX_TEMPLATE_BYTES, Node, Tree};
use crate::error::ParseError;
use crate::format::{quote, unquote};

mod pipeline;

/// Parses a text under a name: the template of that name, and those that it defines. `has_function` says which names are
/// functions.
pub(crate) fn parse(
    name: &str,
    text: &str,
    has_function: &dyn Fn(&str) -> bool,
) -> Result<Vec<Tree>, ParseError> {
    if text.len() > MAX_TEMPLATE_BYTES {
        let length = text.len();
        let message = format!("template: {name}: {length} bytes, at most {MAX_TEMPLATE_BYTES} are allowed");
        return Err(ParseError { message, line: 1 });
    }
    let mut parser = Parser {
        source: name.into(),
        text: text.into(),
        tokens: tokens(text),
        at: 0,
        seen: 0,
        action_line: 0,
        variables: vec!["$".into()],
        ranges: 0,
        nesting: 0,
        has_function,
        trees: Vec::new(),
    };
    parser.file()?;
    Ok(parser.trees)
}

/// What ends a list of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    End,
    Else,
}

impl Ending {
    fn as_str(self) -> &'static str {
        match self {
            Self::End => "{{end}}",
            Self::Else => "{{else}}",
        }
    }
}

struct Parser<'a> {
    source: Arc<str>,
    text: Arc<str>,
    tokens: Vec<Token>,
    at: usize,
    /// One more than the last token that was looked at: its line is the one that errors name.
    seen: usize,
    /// The line at which the action began that is being read; 0 outside of actions.
    action_line: usize,
    variables: Vec<Arc<str>>,
    ranges: usize,
    nesting: usize,
    has_function: &'a dyn Fn(&str) -> bool,
    trees: Vec<Tree>,
}

type Parsed<T> = Result<T, ParseError>;

impl Parser<'_> {
    fn peek(&mut self) -> Token {
        // The last token is an end or an error, and stays.
        let index = self.at.min(self.tokens.len() - 1);
        self.seen = self.seen.max(index + 1);
        self.tokens[index].clone()
    }

    fn next(&mut self) -> Token {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn next_word(&mut self) -> Token {
        self.peek_word();
        self.next()
    }

    fn peek_word(&mut self) -> Token {
        while self.peek().kind == Kind::Space {
            self.at += 1;
        }
        self.peek()
    }

    fn fail<T>(&self, message: impl AsRef<str>) -> Parsed<T> {
        let line = self.tokens[self.seen.clamp(1, self.tokens.len()) - 1].line;
        let message = format!("template: {}:{line}: {}", self.source, message.as_ref());
        Err(ParseError { message, line })
    }

    fn unexpected<T>(&self, token: &Token, context: &str) -> Parsed<T> {
        let described = token.describe();
        if token.kind != Kind::Error {
            return self.fail(format!("unexpected {described} in {context}"));
        }
        let mut more = String::new();
        if self.action_line != 0 && self.action_line != token.line {
            let action = if token.text.ends_with(" action") { "" } else { " in action" };
            more = format!("{action} started at {}:{}", self.source, self.action_line);
        }
        self.fail(format!("{described}{more}"))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Parsed<Token> {
        let token = self.next_word();
        if token.kind == kind { Ok(token) } else { self.unexpected(&token, context) }
    }

    /// Runs `inner` one level deeper.
    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.nesting >= MAX_NESTING {
            return self.fail("max expression depth exceeded");
        }
        self.nesting += 1;
        let result = inner(self);
        self.nesting -= 1;
        result
    }

    fn file(&mut self) -> Parsed<()> {
        let mut root = Vec::new();
        while self.peek().kind != Kind::End {
            if self.peek().kind == Kind::LeftDelimiter {
                let delimiter = self.at;
                self.at += 1;
                if self.next_word().kind == Kind::Keyword(Keyword::Define) {
                    self.definition()?;
                    continue;
                }
                self.at = delimiter;
            }
            match self.node()? {
                Ok(node) => root.push(node),
                Err(ending) => return self.fail(format!("unexpected {}", ending.as_str())),
            }
        }
        self.add(self.source.clone(), root)
    }

    /// A tree is complete. Of two by one name one has to be empty.
    fn add(&mut self, name: Arc<str>, root: Vec<Node>) -> Parsed<()> {
        let tree = Tree { name, source: self.source.clone(), text: self.text.clone(), root };
        match self.trees.iter_mut().find(|other| other.name == tree.name) {
            None => self.trees.push(tree),
            Some(other) if other.is_empty() => *other = tree,
            Some(_) if tree.is_empty() => {}
            Some(_) => {
                let name = quote(&tree.name);
                return self.fail(format!("template: multiple definition of template {name}"));
            }
        }
        Ok(())
    }

    /// Behind `{{define`.
    fn definition(&mut self) -> Parsed<()> {
        let context = "define clause";
        let name = self.template_name(context)?;
        self.expect(Kind::RightDelimiter, context)?;
        self.body_of(name.into(), context)
    }

    /// The body of a template of its own, up to its end: it sees no variables but `$`.
    fn body_of(&mut self, name: Arc<str>, context: &str) -> Parsed<()> {
        let variables = std::mem::replace(&mut self.variables, vec!["$".into()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (root, ending) = self.nested(Self::list)?;
        self.variables = variables;
        self.ranges = ranges;
        if ending != Ending::End {
            return self.fail(format!("unexpected {} in {context}", ending.as_str()));
        }
        self.add(name, root)
    }

    fn template_name(&mut self, context: &str) -> Parsed<String> {
        let token = self.next_word();
        match token.kind {
            Kind::QuotedText | Kind::RawText => match unquote(&token.text) {
                Some(name) => Ok(name),
                None => self.fail("invalid syntax"),
            },
            _ => self.unexpected(&token, context),
        }
    }

    fn list(&mut self) -> Parsed<(Vec<Node>, Ending)> {
        let mut nodes = Vec::new();
        while self.peek_word().kind != Kind::End {
            match self.node()? {
                Ok(node) => nodes.push(node),
                Err(ending) => return Ok((nodes, ending)),
            }
        }
        self.fail("unexpected EOF")
    }

    /// A node, or what ends the list that it would stand in.
    fn node(&mut self) -> Parsed<Result<Node, Ending>> {
        let token = self.next_word();
        match token.kind {
            Kind::Text => Ok(Ok(Node::Text { position: token.position, text: token.text })),
            Kind::LeftDelimiter => {
                self.action_line = token.line;
                let node = self.action();
                self.action_line = 0;
                node
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Parsed<Result<Node, Ending>> {
        let token = self.peek_word();
        let Kind::Keyword(keyword) = token.kind else {
            let pipe = self.pipeline("command", Kind::RightDelimiter)?;
            return Ok(Ok(Node::Action { position: token.position, pipe }));
        };
        self.next();
        let node = match keyword {
            Keyword::Block => self.block()?,
            Keyword::Break => {
                self.jump("{{break}}")?;
                Node::Break { position: token.position }
            }
            Keyword::Continue => {
                self.jump("{{continue}}")?;
                Node::Continue { position: token.position }
            }
            Keyword::Else => {
                if !matches!(self.peek_word().kind, Kind::Keyword(Keyword::If | Keyword::With)) {
                    self.expect(Kind::RightDelimiter, "else")?;
                }
                return Ok(Err(Ending::Else));
            }
            Keyword::End => {
                self.expect(Kind::RightDelimiter, "end")?;
                return Ok(Err(Ending::End));
            }
            Keyword::If => Node::If(self.control("if")?),
            Keyword::Range => Node::Range(self.control("range")?),
            Keyword::With => Node::With(self.control("with")?),
            Keyword::Template => self.call()?,
            Keyword::Define => return self.unexpected(&token, "command"),
        };
        Ok(Ok(node))
    }

    fn jump(&mut self, written: &str) -> Parsed<()> {
        let token = self.next_word();
        if token.kind != Kind::RightDelimiter {
            return self.unexpected(&token, written);
        }
        if self.ranges == 0 {
            return self.fail(format!("{written} outside {{{{range}}}}"));
        }
        Ok(())
    }

    /// Behind `{{if`, `{{with` or `{{range`.
    fn control(&mut self, word: &str) -> Parsed<Branch> {
        let visible = self.variables.len();
        let branch = self.nested(|parser| parser.branch(word));
        self.variables.truncate(visible);
        branch
    }

    fn branch(&mut self, word: &str) -> Parsed<Branch> {
        let position = self.peek_word().position;
        let pipe = self.pipeline(word, Kind::RightDelimiter)?;
        self.ranges += usize::from(word == "range");
        let (body, ending) = self.list()?;
        self.ranges -= usize::from(word == "range");
        let otherwise = match ending {
            Ending::End => None,
            Ending::Else => Some(self.otherwise(word)?),
        };
        Ok(Branch { position, pipe, body, otherwise })
    }

    fn otherwise(&mut self, word: &str) -> Parsed<Vec<Node>> {
        match self.peek_word().kind {
            Kind::Keyword(Keyword::If) if word == "if" => {
                self.next();
                Ok(vec![Node::If(self.control("if")?)])
            }
            Kind::Keyword(Keyword::With) if word == "with" => {
                self.next();
                Ok(vec![Node::With(self.control("with")?)])
            }
            _ => match self.list()? {
                (nodes, Ending::End) => Ok(nodes),
                (_, ending) => self.fail(format!("expected end; found {}", ending.as_str())),
            },
        }
    }

    /// Behind `{{block`: a definition and a call of it.
    fn block(&mut self) -> Parsed<Node> {
        let context = "block clause";
        let position = self.peek_word().position;
        let name = self.template_name(context)?;
        let pipe = self.pipeline(context, Kind::RightDelimiter)?;
        self.body_of(name.as_str().into(), context)?;
        Ok(Node::Template { position, name, pipe: Some(pipe) })
    }

    /// Behind `{{template`.
    fn call(&mut self) -> Parsed<Node> {
        let context = "template clause";
        let position = self.peek_word().position;
        let name = self.template_name(context)?;
        let pipe = if self.peek_word().kind == Kind::RightDelimiter {
            self.next();
            None
        } else {
            Some(self.pipeline(context, Kind::RightDelimiter)?)
        };
        Ok(Node::Template { position, name, pipe })
    }
}
