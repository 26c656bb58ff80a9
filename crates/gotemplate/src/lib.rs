//! Go's `text/template` and `html/template` as alerts and their notifications use them: parsed, executed and escaped as
//! Go does it, with its messages. It knows no alerts: data and functions are the caller's ([`Object`], [`Function`]).
//!
//! Everything is bounded: the size of a text, the nesting of what it says, and by [`Limits`] what an execution may do.
//! Complex numbers, channels and iterator functions are absent: nothing in alerts has them.

mod builtin;
mod error;
mod exec;
mod format;
pub mod functions;
mod html;
mod object;
mod set;
mod syntax;
pub mod time;
mod value;

pub use builtin::escape::{escape_html, escape_query};
pub use error::{ExecError, ParseError};
pub use exec::Limits;
pub use format::{MAX_FORMATTED_BYTES, format_float, printf, quote, sprint, unquote, unquote_bytes};
pub use object::{Function, Object, Outcome, Underlying, text_argument};
pub use set::{MissingKey, Templates};
pub use syntax::{MAX_NESTING, MAX_TEMPLATE_BYTES};
pub use value::{List, Map, Safe, Type, Value};
