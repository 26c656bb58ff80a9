//! Configuration: files, environment and flags to validated types, and per-tenant limits.
//!
//! A role declares its keys once, with [`section!`]; that gives the typed struct with its defaults, the parsing, the
//! flags with their help, and the documentation. Nothing here reads a file or the environment by itself: texts come in,
//! types go out. A value that is wrong is refused with its place, its key, and what would be right; it is never adjusted.

mod flags;
mod macros;
mod show;

pub mod duration;
pub mod overrides;
pub mod problem;
pub mod section;
pub mod setting;
pub mod types;
pub mod values;
pub mod yaml;

pub use overrides::{LimitsLoader, Overrides};
pub use problem::{Location, Problem, Problems};
pub use section::{KeySpec, Lookup, Section, with_values};
pub use setting::{Expected, Setting};
pub use show::{HIDDEN, Shown};
pub use types::{ByteSize, Nested, Secret};
pub use values::{Schema, UnknownVariable, Values};
