//! What pipelines, commands, terms and fields are worth.

use super::{Executed, Place, State};
use crate::format::quote;
use crate::set::MissingKey;
use crate::syntax::{Command, Number, Pipe, Term, TermKind};
use crate::value::{Type, Value};

/// The arguments of a command, its own name first, and what the command before it gave. Neither where a term stands for
/// itself.
#[derive(Clone, Copy)]
pub(super) struct Given<'s, 'a> {
    pub(super) arguments: Option<&'a [Term]>,
    pub(super) last: Option<&'s Value>,
}

impl Given<'_, '_> {
    pub(super) const NOTHING: Self = Self { arguments: None, last: None };

    fn any(&self) -> bool {
        self.last.is_some() || self.arguments.is_some_and(|arguments| arguments.len() > 1)
    }
}

impl<'a> State<'a> {
    pub(super) fn pipeline(&mut self, dot: &Value, pipe: &'a Pipe) -> Executed<Value> {
        self.at(Place::Pipe(pipe));
        let mut last = None;
        for command in &pipe.commands {
            last = Some(self.command(dot, command, last.as_ref())?);
        }
        let value = last.unwrap_or_default();
        for variable in &pipe.variables {
            if pipe.assigns {
                self.assign(variable, &value)?;
            } else {
                self.variables.push((variable, value.clone()));
            }
        }
        Ok(value)
    }

    pub(super) fn assign(&mut self, name: &str, value: &Value) -> Executed<()> {
        match self.variables.iter_mut().rev().find(|variable| variable.0 == name) {
            Some(variable) => {
                variable.1 = value.clone();
                Ok(())
            }
            None => self.fail(format_args!("undefined variable: {name}")),
        }
    }

    fn variable(&self, name: &str) -> Executed<Value> {
        match self.variables.iter().rev().find(|variable| variable.0 == name) {
            Some(variable) => Ok(variable.1.clone()),
            None => self.fail(format_args!("undefined variable: {name}")),
        }
    }

    fn command(&mut self, dot: &Value, command: &'a Command, last: Option<&Value>) -> Executed<Value> {
        self.step()?;
        let given = Given { arguments: Some(&command.arguments), last };
        let Some(first) = command.arguments.first() else { return Ok(Value::Nil) };
        if let TermKind::Function(name) = &first.kind {
            self.at(Place::Term(first));
            return self.call_named(dot, name, Place::Command(command), given);
        }
        self.term(dot, first, given)
    }

    /// A term by itself or as the first word of a command; functions are called elsewhere.
    fn term(&mut self, dot: &Value, term: &'a Term, given: Given<'_, 'a>) -> Executed<Value> {
        match &term.kind {
            TermKind::Field(path) => {
                self.at(Place::Term(term));
                self.fields(dot, dot.clone(), term, path, given)
            }
            TermKind::Chain(inner, path) => {
                self.at(Place::Term(term));
                if matches!(inner.kind, TermKind::Nil) {
                    return self.fail(format_args!("indirection through explicit nil in {term}"));
                }
                let value = self.argument(dot, &Type::Any, inner)?;
                self.fields(dot, value, term, path, given)
            }
            TermKind::Variable(name, path) => {
                let value = self.variable(name)?;
                self.at(Place::Term(term));
                if path.is_empty() {
                    self.no_arguments(term, given)?;
                    return Ok(value);
                }
                self.fields(dot, value, term, path, given)
            }
            TermKind::Pipe(pipe) => {
                self.no_arguments(term, given)?;
                self.pipeline(dot, pipe)
            }
            TermKind::Function(name) => {
                self.at(Place::Term(term));
                self.call_named(dot, name, Place::Term(term), given)
            }
            constant => {
                self.at(Place::Term(term));
                self.no_arguments(term, given)?;
                match constant {
                    TermKind::Dot => Ok(dot.clone()),
                    TermKind::Nil => self.fail("nil is not a command"),
                    _ => self.constant(term),
                }
            }
        }
    }

    fn no_arguments(&self, term: &Term, given: Given<'_, 'a>) -> Executed<()> {
        if given.any() {
            return self.fail(format_args!("can't give argument to non-function {term}"));
        }
        Ok(())
    }

    /// What a constant is where nothing says what it should be.
    fn constant(&mut self, term: &'a Term) -> Executed<Value> {
        match &term.kind {
            TermKind::Bool(value) => Ok(Value::Bool(*value)),
            TermKind::Text { text, .. } => Ok(Value::Text(text.clone())),
            TermKind::Number(number) => match number {
                Number { overflows: true, text, .. } => self.fail(format_args!("{text} overflows int")),
                Number { looks_float: false, int: Some(int), .. } => Ok(Value::Int(*int)),
                Number { float, .. } => Ok(Value::Float(*float)),
            },
            _ => Ok(Value::Nil),
        }
    }

    /// Follows fields and methods from a value on; the last one gets the arguments.
    fn fields(
        &mut self,
        dot: &Value,
        mut receiver: Value,
        term: &'a Term,
        path: &'a [String],
        given: Given<'_, 'a>,
    ) -> Executed<Value> {
        self.nil_of_any = false;
        for (index, name) in path.iter().enumerate() {
            if self.nil_of_any {
                return self.fail(format_args!("nil pointer evaluating interface {{}}.{name}"));
            }
            let may_be_any = self.may_be_any(&receiver, name);
            let last = index + 1 == path.len();
            receiver = self.field(dot, &receiver, name, term, if last { given } else { Given::NOTHING })?;
            self.nil_of_any = may_be_any && matches!(receiver, Value::Nil);
        }
        Ok(receiver)
    }

    /// Whether a field holds anything, so that nothing in it is a nil of no type.
    fn may_be_any(&self, receiver: &Value, name: &str) -> bool {
        match (receiver, receiver.as_map()) {
            (_, Some(map)) => {
                let there = map.entries.contains_key(name) || self.set.missing_key == MissingKey::Zero;
                map.element == Type::Any && there
            }
            (Value::Object(object), None) => object.fields().contains(&name),
            _ => false,
        }
    }

    fn field(
        &mut self,
        dot: &Value,
        receiver: &Value,
        name: &'a str,
        term: &'a Term,
        given: Given<'_, 'a>,
    ) -> Executed<Value> {
        if matches!(receiver, Value::Nil) {
            if self.set.missing_key == MissingKey::Error {
                return self.fail(format_args!("nil data; no entry for key {}", quote(name)));
            }
            return Ok(Value::Nil);
        }
        if let Value::Object(object) = receiver {
            if let Some(method) = object.clone().method(name) {
                return self.call(dot, &method, name, Place::Term(term), given);
            }
            // What begins with a small letter is for printing only.
            let field = object.field(name).filter(|_| !name.starts_with(char::is_lowercase));
            if let Some(value) = field {
                if given.any() {
                    return self.fail(format_args!("{name} has arguments but cannot be invoked as function"));
                }
                return Ok(value);
            }
        }
        let Some(map) = receiver.as_map() else {
            return self.fail(format_args!("can't evaluate field {name} in type {}", receiver.type_of()));
        };
        if given.any() {
            return self.fail(format_args!("{name} is not a method but has arguments"));
        }
        match (map.entries.get(name), self.set.missing_key) {
            (Some(value), _) => Ok(value.clone()),
            (None, MissingKey::Invalid) => Ok(Value::Nil),
            (None, MissingKey::Zero) => Ok(map.element.zero()),
            (None, MissingKey::Error) => self.fail(format_args!("map has no entry for key {}", quote(name))),
        }
    }

    /// An argument of a parameter of this type.
    pub(super) fn argument(&mut self, dot: &Value, parameter: &Type, term: &'a Term) -> Executed<Value> {
        self.at(Place::Term(term));
        match &term.kind {
            TermKind::Dot => self.fit(dot.clone(), parameter),
            TermKind::Nil if parameter.nilable() => Ok(parameter.zero()),
            TermKind::Nil => self.fail(format_args!("cannot assign nil to {parameter}")),
            TermKind::Field(_)
            | TermKind::Variable(..)
            | TermKind::Function(_)
            | TermKind::Chain(..)
            | TermKind::Pipe(_) => {
                self.nil_of_any = false;
                let value = self.term(dot, term, Given::NOTHING)?;
                let path =
                    matches!(term.kind, TermKind::Field(_) | TermKind::Variable(..) | TermKind::Chain(..));
                if path && self.nil_of_any && !parameter.nilable() {
                    return self.fail(format_args!(
                        "wrong type for value; expected {parameter}; got interface {{}}"
                    ));
                }
                self.fit(value, parameter)
            }
            TermKind::Bool(_) | TermKind::Number(_) | TermKind::Text { .. } => {
                self.constant_argument(parameter, term)
            }
        }
    }

    fn constant_argument(&mut self, parameter: &Type, term: &'a Term) -> Executed<Value> {
        match (parameter, &term.kind) {
            (Type::Any, _) => self.constant(term),
            (Type::Bool, TermKind::Bool(value)) => Ok(Value::Bool(*value)),
            (Type::Text, TermKind::Text { text, .. }) => Ok(Value::Text(text.clone())),
            (Type::Int | Type::Whole(_), TermKind::Number(Number { int: Some(int), .. })) => {
                Ok(Value::Int(*int))
            }
            (Type::Float, TermKind::Number(number)) => Ok(Value::Float(number.float)),
            (Type::Bool, _) => self.fail(format_args!("expected bool; found {term}")),
            (Type::Text, _) => self.fail(format_args!("expected string; found {term}")),
            (Type::Int | Type::Whole(_), _) => self.fail(format_args!("expected integer; found {term}")),
            (Type::Float, _) => self.fail(format_args!("expected float; found {term}")),
            (Type::List(_) | Type::Map(_) | Type::Named(_) | Type::Function, _) => {
                self.fail(format_args!("can't handle {term} for arg of type {parameter}"))
            }
        }
    }

    /// The value, if a parameter of this type takes it.
    pub(super) fn fit(&mut self, value: Value, parameter: &Type) -> Executed<Value> {
        match value {
            Value::Nil if parameter.nilable() => Ok(parameter.zero()),
            Value::Nil => self.fail(format_args!("invalid value; expected {parameter}")),
            value if parameter.takes(&value) => Ok(value),
            value => {
                let got = value.type_of();
                self.fail(format_args!("wrong type for value; expected {parameter}; got {got}"))
            }
        }
    }
}
