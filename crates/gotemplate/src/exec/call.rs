//! Calls of functions and methods.

use super::eval::Given;
use super::{Executed, Place, State};
use crate::format::quote;
use crate::object::Function;
use crate::syntax::Term;
use crate::value::{MAX_DEPTH, Type, Value};

/// Whether a function is evaluated here, since it does not evaluate all of its arguments or knows their names.
pub(crate) fn is_special(name: &str) -> bool {
    matches!(name, "and" | "or" | "call")
}

impl<'a> State<'a> {
    /// Calls a function by its name. `place` is what an error of the function is about.
    pub(super) fn call_named(
        &mut self,
        dot: &Value,
        name: &'a str,
        place: Place<'a>,
        given: Given<'_, 'a>,
    ) -> Executed<Value> {
        match (self.function(name), name) {
            (Some(function), _) => self.call(dot, function, name, place, given),
            (None, "and") => self.choose(dot, name, false, given),
            (None, "or") => self.choose(dot, name, true, given),
            (None, "call") => self.call_value(dot, place, given),
            (None, _) => self.fail(format_args!("{} is not a defined function", quote(name))),
        }
    }

    /// The first argument whose truth is `wanted`, or the last one; what follows is not evaluated.
    fn choose(&mut self, dot: &Value, name: &str, wanted: bool, given: Given<'_, 'a>) -> Executed<Value> {
        let arguments = behind_name(given);
        if arguments.is_empty() && given.last.is_none() {
            return self.fail(format_args!("wrong number of args for {name}: want at least 1 got 0"));
        }
        let mut value = Value::Nil;
        for argument in arguments {
            value = self.argument(dot, &Type::Any, argument)?;
            if value.truth() == wanted {
                return Ok(value);
            }
        }
        Ok(given.last.cloned().unwrap_or(value))
    }

    /// `call`: its first argument is the function.
    fn call_value(&mut self, dot: &Value, place: Place<'a>, given: Given<'_, 'a>) -> Executed<Value> {
        let terms = behind_name(given);
        let mut arguments = Vec::with_capacity(terms.len() + 1);
        for term in terms {
            arguments.push(self.argument(dot, &Type::Any, term)?);
        }
        arguments.extend(given.last.cloned());
        let name = terms.first().map_or_else(|| "value".to_owned(), ToString::to_string);
        let problem = match arguments.split_first() {
            None => return self.fail("wrong number of args for call: want at least 1 got 0"),
            Some((Value::Nil, _)) => "call of nil".to_owned(),
            Some((Value::Function(function), rest)) => {
                let (want, got) = (function.fixed(), rest.len());
                if function.is_variadic() && got < want {
                    format!("wrong number of args for {name}: got {got} want at least {want}")
                } else if !function.is_variadic() && got != want {
                    format!("wrong number of args for {name}: got {got} want {want}")
                } else if let Some(index) =
                    (0..got).find(|&index| !function.parameter(index).takes(&rest[index]))
                {
                    let (want, got) = (function.parameter(index), rest[index].type_of());
                    format!("arg {index}: value has type {got}; should be {want}")
                } else {
                    match function.call(rest) {
                        Ok(value) => return self.bounded(value),
                        Err(message) => message,
                    }
                }
            }
            Some((other, _)) => format!("non-function {name} of type {}", other.type_of()),
        };
        self.at(place);
        self.fail(format_args!("error calling call: {problem}"))
    }

    pub(super) fn call(
        &mut self,
        dot: &Value,
        function: &Function,
        name: &str,
        place: Place<'a>,
        given: Given<'_, 'a>,
    ) -> Executed<Value> {
        let terms = behind_name(given);
        let (fixed, count) = (function.fixed(), terms.len() + usize::from(given.last.is_some()));
        if function.is_variadic() {
            if count < fixed {
                let got = terms.len();
                return self
                    .fail(format_args!("wrong number of args for {name}: want at least {fixed} got {got}"));
            }
        } else if count != fixed {
            return self.fail(format_args!("wrong number of args for {name}: want {fixed} got {count}"));
        }
        let mut arguments = Vec::with_capacity(count);
        for (index, term) in terms.iter().enumerate() {
            arguments.push(self.argument(dot, function.parameter(index), term)?);
        }
        if let Some(last) = given.last {
            arguments.push(self.fit(last.clone(), function.parameter(terms.len()))?);
        }
        match function.call(&arguments) {
            Ok(value) => self.bounded(value),
            Err(message) => {
                self.at(place);
                self.fail(format_args!("error calling {name}: {message}"))
            }
        }
    }

    /// The value, if it does not nest too deep: what walks over values recurses.
    fn bounded(&self, value: Value) -> Executed<Value> {
        if value.depth() > MAX_DEPTH {
            return self.fail(format_args!("exceeded maximum depth of a value ({MAX_DEPTH})"));
        }
        Ok(value)
    }
}

fn behind_name<'a>(given: Given<'_, 'a>) -> &'a [Term] {
    given.arguments.and_then(|arguments| arguments.get(1..)).unwrap_or_default()
}
