//! What callers bring into templates: objects with fields and methods, and functions.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::value::{List, Map, Type, Value};

/// A value of the caller's with fields or methods, as a named type of Go has.
pub trait Object: Any + fmt::Debug + Send + Sync {
    /// Go's name of the type, for messages and `%T`: `template.Alert`, `*template.Data` for a pointer.
    fn type_name(&self) -> &'static str;

    /// What it is under its methods.
    fn underlying(&self) -> Underlying<'_> {
        Underlying::Struct
    }

    /// The names of its fields, in order.
    fn fields(&self) -> &'static [&'static str] {
        &[]
    }

    /// The field of that name.
    fn field(&self, _name: &str) -> Option<Value> {
        None
    }

    /// The method of that name, bound to this object.
    fn method(self: Arc<Self>, _name: &str) -> Option<Function> {
        None
    }

    /// How it prints itself, where it does: Go's `String()`.
    fn text(&self) -> Option<String> {
        None
    }
}

impl dyn Object {
    /// This object, if it is one of that type.
    pub fn downcast<T: Object>(&self) -> Option<&T> {
        let any: &dyn Any = self;
        any.downcast_ref()
    }
}

/// What an [`Object`] is under its methods.
#[derive(Debug, Clone, Copy)]
pub enum Underlying<'a> {
    /// Fields and methods, nothing else.
    Struct,
    /// A whole number, for comparisons and `%d`.
    Int(i64),
    /// A slice: `range`, `len`, `index` work.
    List(&'a List),
    /// A map: `range`, `len`, `index` and keys as fields work.
    Map(&'a Map),
}

/// What a function gives: a value, or what is wrong, which ends the execution.
pub type Outcome = Result<Value, String>;

type Body = dyn Fn(&[Value]) -> Outcome + Send + Sync;

/// A function with its parameters, which are checked before it is called.
#[derive(Clone)]
pub struct Function {
    parameters: Arc<[Type]>,
    variadic: Option<Type>,
    body: Arc<Body>,
}

impl Function {
    /// A function of exactly these parameters.
    pub fn new(
        parameters: impl Into<Arc<[Type]>>,
        body: impl Fn(&[Value]) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        Self { parameters: parameters.into(), variadic: None, body: Arc::new(body) }
    }

    /// A function of these parameters and any number of further ones of type `rest`.
    pub fn variadic(
        parameters: impl Into<Arc<[Type]>>,
        rest: Type,
        body: impl Fn(&[Value]) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        Self { parameters: parameters.into(), variadic: Some(rest), body: Arc::new(body) }
    }

    /// A function from one text to another.
    pub fn of_text(body: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        Self::new([Type::Text], move |args| Ok(Value::from(body(text_argument(args, 0)))))
    }

    /// How many parameters it has before the repeated one.
    pub(crate) fn fixed(&self) -> usize {
        self.parameters.len()
    }

    /// Whether any number of further arguments may follow.
    pub(crate) fn is_variadic(&self) -> bool {
        self.variadic.is_some()
    }

    /// The type of an argument.
    pub(crate) fn parameter(&self, index: usize) -> &Type {
        self.parameters.get(index).or(self.variadic.as_ref()).unwrap_or(&Type::Any)
    }

    /// Calls it with arguments whose number and types were checked.
    pub(crate) fn call(&self, arguments: &[Value]) -> Outcome {
        (self.body)(arguments)
    }
}

/// The text that stands at this place of a function's arguments; empty where none does, which checked arguments exclude.
pub fn text_argument(arguments: &[Value], index: usize) -> &str {
    arguments.get(index).and_then(Value::as_text).unwrap_or_default()
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function")
            .field("parameters", &self.parameters)
            .field("variadic", &self.variadic)
            .finish_non_exhaustive()
    }
}
