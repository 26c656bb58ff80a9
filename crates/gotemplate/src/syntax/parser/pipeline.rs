//! Expressions: pipelines, commands, terms.

use std::sync::Arc;

use super::{Parsed, Parser};
use crate::format::{quote, unquote};
use crate::syntax::token::Kind;
use crate::syntax::{Command, Number, Pipe, Term, TermKind};

impl Parser<'_> {
    /// Variables, then commands, up to `end`.
    pub(super) fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
        let position = self.peek_word().position;
        let mut pipe = Pipe { position, assigns: false, variables: Vec::new(), commands: Vec::new() };
        self.declarations(&mut pipe, context)?;
        loop {
            let token = self.next_word();
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::CharConstant
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawText
                | Kind::QuotedText
                | Kind::Variable
                | Kind::LeftParenthesis => {
                    self.at -= 1;
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return self.unexpected(&token, context),
            }
        }
        self.check(&pipe, context)?;
        Ok(pipe)
    }

    /// `$a :=`, `$a =`, and in a range `$a, $b :=`.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Parsed<()> {
        loop {
            let variable = self.peek_word();
            if variable.kind != Kind::Variable {
                return Ok(());
            }
            let start = self.at;
            self.next();
            let next = self.peek_word();
            let name: Arc<str> = variable.text.into();
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    self.next();
                    pipe.assigns = next.kind == Kind::Assign;
                    self.variables.push(name.clone());
                    pipe.variables.push(name);
                    return Ok(());
                }
                Kind::Char if next.text == "," => {
                    self.next();
                    self.variables.push(name.clone());
                    pipe.variables.push(name);
                    if context != "range" || pipe.variables.len() >= 2 {
                        return self.fail(format!("too many declarations in {context}"));
                    }
                    let after = self.peek_word().kind;
                    if !matches!(after, Kind::Variable | Kind::RightDelimiter | Kind::RightParenthesis) {
                        return self.fail("range can only initialize variables");
                    }
                }
                _ => {
                    self.at = start;
                    return Ok(());
                }
            }
        }
    }

    fn check(&self, pipe: &Pipe, context: &str) -> Parsed<()> {
        if pipe.commands.is_empty() {
            return self.fail(format!("missing value for {context}"));
        }
        for (stage, command) in pipe.commands.iter().enumerate().skip(1) {
            let first = command.arguments.first().map(|term| &term.kind);
            if matches!(
                first,
                Some(
                    TermKind::Bool(_)
                        | TermKind::Dot
                        | TermKind::Nil
                        | TermKind::Number(_)
                        | TermKind::Text { .. }
                )
            ) {
                return self.fail(format!("non executable command in pipeline stage {}", stage + 1));
            }
        }
        Ok(())
    }

    /// Operands with spaces in between, up to and including a `|`, or up to what ends the pipeline.
    fn command(&mut self) -> Parsed<Command> {
        let position = self.peek_word().position;
        let mut arguments = Vec::new();
        loop {
            self.peek_word();
            if let Some(operand) = self.operand()? {
                arguments.push(operand);
            }
            let token = self.next();
            match token.kind {
                Kind::Space => {}
                Kind::RightDelimiter | Kind::RightParenthesis => {
                    self.at -= 1;
                    break;
                }
                Kind::Pipe => break,
                _ => return self.unexpected(&token, "operand"),
            }
        }
        if arguments.is_empty() {
            return self.fail("empty command");
        }
        Ok(Command { position, arguments })
    }

    /// A term and fields of it.
    fn operand(&mut self) -> Parsed<Option<Term>> {
        let Some(term) = self.term()? else { return Ok(None) };
        if self.peek().kind != Kind::Field {
            return Ok(Some(term));
        }
        let position = self.peek().position;
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            fields.push(self.next().text[1..].to_owned());
        }
        let kind = match term.kind {
            TermKind::Field(mut path) => {
                path.append(&mut fields);
                TermKind::Field(path)
            }
            TermKind::Variable(name, mut path) => {
                path.append(&mut fields);
                TermKind::Variable(name, path)
            }
            TermKind::Bool(_)
            | TermKind::Text { .. }
            | TermKind::Number(_)
            | TermKind::Nil
            | TermKind::Dot => {
                let term = quote(&term.to_string());
                return self.fail(format!("unexpected . after term {term}"));
            }
            TermKind::Function(_) | TermKind::Chain(..) | TermKind::Pipe(_) => {
                TermKind::Chain(Box::new(term), fields)
            }
        };
        Ok(Some(Term { position, kind }))
    }

    fn term(&mut self) -> Parsed<Option<Term>> {
        let token = self.next_word();
        let kind = match token.kind {
            Kind::Identifier => {
                if !(self.has_function)(&token.text) {
                    let name = quote(&token.text);
                    return self.fail(format!("function {name} not defined"));
                }
                TermKind::Function(token.text)
            }
            Kind::Dot => TermKind::Dot,
            Kind::Nil => TermKind::Nil,
            Kind::Bool => TermKind::Bool(token.text == "true"),
            Kind::Variable => {
                let Some(name) = self.variables.iter().rev().find(|name| ***name == token.text) else {
                    let name = quote(&token.text);
                    return self.fail(format!("undefined variable {name}"));
                };
                TermKind::Variable(name.clone(), Vec::new())
            }
            Kind::Field => TermKind::Field(vec![token.text[1..].to_owned()]),
            Kind::CharConstant => self.number(Number::of_character(&token.text))?,
            Kind::Number => self.number(Number::parse(&token.text))?,
            Kind::LeftParenthesis => {
                let pipe =
                    self.nested(|parser| parser.pipeline("parenthesized pipeline", Kind::RightParenthesis))?;
                TermKind::Pipe(pipe)
            }
            Kind::QuotedText | Kind::RawText => match unquote(&token.text) {
                Some(text) => TermKind::Text { text: text.into(), quoted: token.text },
                None => return self.fail("invalid syntax"),
            },
            _ => {
                self.at -= 1;
                return Ok(None);
            }
        };
        // A pipe is where its first word is, not where its parenthesis is.
        let position = match &kind {
            TermKind::Pipe(pipe) => pipe.position,
            _ => token.position,
        };
        Ok(Some(Term { position, kind }))
    }

    fn number(&self, number: Result<Number, String>) -> Parsed<TermKind> {
        match number {
            Ok(number) => Ok(TermKind::Number(number)),
            Err(message) => self.fail(message),
        }
    }
}
