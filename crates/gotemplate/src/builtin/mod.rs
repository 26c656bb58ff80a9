//! The functions that every template has. `and`, `or` and `call` are not here: they are evaluated with the templates.

mod collection;
mod compare;
pub(crate) mod escape;

use std::collections::BTreeMap;

use crate::format::{printf, sprint, sprintln};
use crate::object::{Function, Outcome, text_argument};
use crate::value::{Type, Value};

/// The functions by name.
pub(crate) fn functions() -> BTreeMap<String, Function> {
    let any = || Type::Any;
    let rest = |body: fn(&[Value]) -> Outcome| Function::variadic([], any(), body);
    let from_one = |body: fn(&[Value]) -> Outcome| Function::variadic([any()], any(), body);
    let two = |body: fn(&[Value]) -> Outcome| Function::new([any(), any()], body);
    [
        ("html", rest(|args| Ok(Value::from(escape::escape_html(&escape::joined(args)?))))),
        ("js", rest(|args| Ok(Value::from(escape::escape_script(&escape::joined(args)?))))),
        ("urlquery", rest(|args| Ok(Value::from(escape::escape_query(&escape::joined(args)?))))),
        ("index", from_one(collection::index)),
        ("slice", from_one(collection::slice)),
        ("len", Function::new([any()], collection::len)),
        ("not", Function::new([any()], |args| Ok(Value::Bool(!args.first().is_some_and(Value::truth))))),
        ("print", rest(|args| Ok(Value::from(sprint(args)?)))),
        ("println", rest(|args| Ok(Value::from(sprintln(args)?)))),
        (
            "printf",
            Function::variadic([Type::Text], any(), |args| {
                Ok(Value::from(printf(text_argument(args, 0), args.get(1..).unwrap_or_default())?))
            }),
        ),
        ("eq", from_one(compare::equal)),
        ("ne", two(compare::not_equal)),
        ("lt", two(compare::less)),
        ("le", two(compare::less_or_equal)),
        ("gt", two(compare::greater)),
        ("ge", two(compare::greater_or_equal)),
    ]
    .map(|(name, function)| (name.to_owned(), function))
    .into()
}
