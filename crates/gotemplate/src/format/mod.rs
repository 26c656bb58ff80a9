//! Values as text, as Go's `fmt` writes them.

mod float;
mod integer;
mod printf;
mod quote;
mod value;

pub use self::float::format_float;
pub use self::printf::printf;
pub(crate) use self::quote::{is_printable, unquote_char};
pub use self::quote::{quote, unquote, unquote_bytes};

use self::value::{Printer, Verb};
use crate::value::Value;

/// The longest text that one call of a printing function makes, in bytes.
pub const MAX_FORMATTED_BYTES: usize = 4 << 20;

/// Go's `fmt.Sprint`: the values one after another, with a space between two of which neither is a text.
pub fn sprint(values: &[Value]) -> Result<String, String> {
    let mut printer = Printer::new();
    let mut text_before = true;
    for value in values {
        let text = value.as_text().is_some();
        if !text && !text_before {
            printer.push(" ");
        }
        printer.print(value, &Verb::plain());
        text_before = text;
    }
    printer.finish()
}

/// As [`sprint`], but of what a pointer points to, not that it is one.
pub(crate) fn sprint_pointed(values: &[Value]) -> Result<String, String> {
    let pointed = |value: &Value| match is_pointer(value) {
        true => sprint(std::slice::from_ref(value)).map(|text| Value::from(text.trim_start_matches('&'))),
        false => Ok(value.clone()),
    };
    sprint(&values.iter().map(pointed).collect::<Result<Vec<_>, _>>()?)
}

/// Whether Go has a pointer here that does not print itself.
fn is_pointer(value: &Value) -> bool {
    matches!(value, Value::Object(object) if object.type_name().starts_with('*') && object.text().is_none())
}

/// Go's `fmt.Sprintln`: the values with spaces in between, and a line feed.
pub(crate) fn sprintln(values: &[Value]) -> Result<String, String> {
    let mut printer = Printer::new();
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            printer.push(" ");
        }
        printer.print(value, &Verb::plain());
    }
    printer.push("\n");
    printer.finish()
}

/// A value for a message: cut where it is too long.
pub(crate) fn sprint_lossy(value: &Value) -> String {
    sprint_pointed(std::slice::from_ref(value)).unwrap_or_else(|_| "...".to_owned())
}

/// A value with the names of its types and fields: `%#v`.
pub(crate) fn sprint_verbose(value: &Value) -> String {
    let mut printer = Printer::new();
    printer.print(value, &Verb { names: true, syntax: true, ..Verb::plain() });
    printer.finish().unwrap_or_else(|_| "...".to_owned())
}
